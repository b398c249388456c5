"""Transforms, shells, filters and correlation per shell."""
