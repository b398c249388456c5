"""Monomer dictionaries, topology and rotamers."""
