"""Geometry of a model and its fit to the data."""
