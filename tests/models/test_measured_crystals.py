"""Deposited models against their data: R factors of other programs, twin fraction. Needs the measured cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from burnish.io.models import read_model
from burnish.io.reflections import DataRequest, read_reflections
from burnish.models.crystal_term import CrystalTerm
from burnish.models.french_wilson import french_wilson
from burnish.models.twin_target import TwinTarget

# R-work, R-free of cctbx's f_model (cctbx-base 2025.11: per-shell bulk solvent, outliers rejected) without refinement
CCTBX = {
    "1g8a": (0.152, 0.184),
    "4hg7": (0.177, 0.214),
    "3zt9": (0.153, 0.187),
    "1dur": (0.151, 0.139),
    "5d5w": (0.216, 0.265),
    "rnase_tutorial": (0.258, 0.291),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(CCTBX))
def test_scaling_is_as_good_as_that_of_cctbx(shared_data: Path, name: str) -> None:
    folder = shared_data / "mx" / name
    reflections = read_reflections(folder / "data.mtz").reflections
    atoms = read_model(folder / "model.cif").atoms
    if not bool(reflections.f_obs.isfinite().any()):
        pytest.fail(f"{folder}: amplitudes were expected")
    term = CrystalTerm(reflections)
    term.prepare(atoms)
    found = term.statistics()
    r_work, r_free = CCTBX[name]
    assert found.r_work < r_work + 0.005
    assert found.r_free < r_free + 0.0055


@pytest.mark.shared
def test_twin_fraction_is_that_of_servalcat(shared_data: Path) -> None:
    """Servalcat 0.4.142 finds .346 for the deposited model."""
    folder = shared_data / "mx" / "1l2h_twin"
    r = read_reflections(folder / "data.mtz", DataRequest()).reflections
    assert r.i_obs is not None and r.sigma_i_obs is not None
    f_obs, sigma = french_wilson(
        r.crystal,
        r.hkl.numpy(),
        r.s2.numpy(),
        r.i_obs.numpy(),
        r.sigma_i_obs.numpy(),
        r.centric.numpy(),
        r.epsilon.numpy(),
    )
    r = replace(r, f_obs=torch.from_numpy(f_obs), sigma_f_obs=torch.from_numpy(sigma))
    term = CrystalTerm(r, TwinTarget(r))
    term.prepare(read_model(folder / "model.cif").atoms)
    found = term.statistics()
    assert found.twin_fractions[1] == pytest.approx(0.346, abs=0.02)
    assert found.r_free < 0.185
