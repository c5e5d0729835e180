"""The paper's seven baselines, small and faithful; for measuring only."""
