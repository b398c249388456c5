"""Atoms against data."""
