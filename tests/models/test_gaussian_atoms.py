"""Gaussian terms of atoms."""

import numpy as np

from burnish.models.gaussian_atoms import _anisotropic_terms, _isotropic_terms


def test_isotropic_atoms_have_the_terms_of_the_general_case_to_the_last_bit():
    generator = np.random.default_rng(2)
    u = np.zeros((50, 6))
    u[:, :3] = generator.uniform(0.01, 3.0, 50)[:, None]
    added = generator.uniform(0.0, 1.0, (50, 5))
    for one, other in zip(_isotropic_terms(u, added), _anisotropic_terms(u, added), strict=True):
        assert np.array_equal(one, other)
