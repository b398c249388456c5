"""Colours of all figures."""

INK, SOFT, LINE = "#1c2530", "#5b6875", "#dfe4e9"
BLUE, ORANGE, GREEN, RED, VIOLET, GREY = "#1f6f8b", "#d97706", "#2b7a4b", "#c0392b", "#6b4ea0", "#8a96a3"
