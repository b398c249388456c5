"""Rotations, orientation sampling, internal coordinates and points near each other."""
