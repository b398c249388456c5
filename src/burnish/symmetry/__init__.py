"""Point groups, and what the engines need of space groups."""
