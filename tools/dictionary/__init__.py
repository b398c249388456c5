"""Published target values that the project's own monomer library is made from; `make_dictionary.py` writes it."""
