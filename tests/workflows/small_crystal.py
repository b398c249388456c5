"""The crystal of the examples, for tests."""

from tools.example_crystal import CELL, GROUP, amplitudes, disturbed, helix, write_case, write_data

__all__ = ["CELL", "GROUP", "amplitudes", "disturbed", "helix", "write_case", "write_data"]
