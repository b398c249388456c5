"""Optics measured from refined particles: defocus, astigmatism, aberrations, magnification."""
