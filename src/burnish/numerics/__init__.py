"""Minimisers and solvers of linear equations."""
