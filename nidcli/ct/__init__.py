"""Slices from few views: what the rays see, what the dictionary expects, and the residual that it cannot hold."""
