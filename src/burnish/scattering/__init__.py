"""Form factors of atoms."""
