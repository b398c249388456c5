"""Dictionaries of components, topology and hydrogens, torsions and their densities, changes of a model."""
