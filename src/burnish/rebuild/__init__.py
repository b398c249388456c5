"""Automated real-space rebuilding."""
