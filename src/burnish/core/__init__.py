"""Errors, units, constants and progress events. Imports nothing heavy."""
