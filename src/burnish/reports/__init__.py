"""Figures, HTML and PDF."""
