"""Contrast transfer, aberrations, detector response."""
