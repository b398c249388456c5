"""Minimisers, sparse solvers and quadrature."""
