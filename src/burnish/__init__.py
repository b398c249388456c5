"""Refinement of structures in structural biology: cryo-EM maps and atomic models, one engine."""

__version__ = "0.1.0"
