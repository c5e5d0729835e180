"""Claims as scripts: each prints our figure and the peer's from one run."""
