"""Rotations, orientation sampling and internal coordinates."""
