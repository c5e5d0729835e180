"""Photos restored: holes filled, damage found, small photos enlarged, with a prior for the whole image."""
