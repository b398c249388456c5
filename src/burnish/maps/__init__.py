"""Density grids, masks, peaks, sampling and sharpening."""
