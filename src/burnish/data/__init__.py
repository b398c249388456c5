"""Frozen records of tensors that the engines pass to each other."""
