"""Form factors against gemmi's own evaluation, and their failures."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from burnish.core.errors import DataError
from burnish.scattering.form_factors import Radiation, anomalous_factors, form_factors


@pytest.mark.parametrize("symbol", ["H", "C", "N", "O", "S", "Fe", "Se"])
def test_tables(symbol: str) -> None:
    s2 = np.array([0.0, 0.1, 0.5])
    element = gemmi.Element(symbol)
    expected = [element.it92.calculate_sf(0.25 * x) for x in s2]
    np.testing.assert_allclose(form_factors([symbol]).at(s2)[0], expected, rtol=1e-5)
    expected = [element.c4322.calculate_sf(0.25 * x) for x in s2]
    np.testing.assert_allclose(form_factors([symbol], radiation=Radiation.ELECTRON).at(s2)[0], expected, rtol=1e-5)
    neutron = form_factors([symbol], radiation=Radiation.NEUTRON).at(s2)[0]
    np.testing.assert_allclose(neutron, element.neutron92.calculate_sf(0.0), rtol=1e-5)


def test_kinds_ions_and_dispersion() -> None:
    found = form_factors(["O", "C", "O", "Se"], [0, 0, -1, 0], dispersion={"Se": (-8.0, 4.5)})
    assert found.kind.tolist() == [0, 1, 2, 3]
    assert found.at(np.zeros(1))[:, 0] == pytest.approx([8.0, 6.0, 8.0, 26.0], abs=0.1)
    assert found.dispersion.tolist() == [0.0, 0.0, 0.0, 4.5]
    assert found.dispersive().at(np.array([0.4]))[3, 0] == pytest.approx(4.5)


def test_selenium_at_its_edge() -> None:
    f_prime, f_double_prime = anomalous_factors(["Se", "H"], 0.95)["Se"]
    assert -6.0 < f_prime < -1.0
    assert 3.0 < f_double_prime < 4.5


def test_unknown_element_is_named() -> None:
    with pytest.raises(DataError, match="element 'X'"):
        form_factors(["C", "X"])
