"""The kinds of moves, one a file."""
