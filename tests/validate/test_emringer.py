"""EMRinger: χ₁ circles, the score of planted side chains, edges."""

import math

import gemmi
import numpy as np
import pytest
import torch

from burnish.chemistry.residues import residue_views
from burnish.data.density import DensityMap
from burnish.geometry.torsions import torsion_angles
from burnish.io.models import atoms_of
from burnish.validate.emringer import CHANCE, chi1_circle, emringer


def _serines(angles: list[float]) -> gemmi.Structure:
    """Serines far apart with χ₁ as given (°)."""
    structure, chain = gemmi.Structure(), gemmi.Chain("A")
    structure.add_model(gemmi.Model(1))
    for k, degrees in enumerate(angles):
        base = np.array([12.0 * (k % 8) + 8.0, 12.0 * (k // 8) + 8.0, 12.0])
        a = math.radians(degrees)
        ca, cb = base, base + np.array([0.0, 0.0, 1.53])
        n = base + np.array([1.46 * math.cos(0.34), 0.0, -1.46 * math.sin(0.34)])
        og = cb + np.array([1.34 * math.cos(a), 1.34 * math.sin(a), 0.48])
        c = base + np.array([-0.5, 1.4, -0.4])
        residue = gemmi.Residue()
        residue.name, residue.seqid = "SER", gemmi.SeqId(str(k + 1))
        for name, place in (("N", n), ("CA", ca), ("C", c), ("CB", cb), ("OG", og)):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = name, gemmi.Element(name[0]), gemmi.Position(*place)
            residue.add_atom(atom)
        chain.add_residue(residue)
    structure[0].add_chain(chain)
    return structure


def _map_of(structure: gemmi.Structure, atom: str = "OG") -> DensityMap:
    """A Gaussian at each atom of one name."""
    z, y, x = np.meshgrid(np.arange(40) * 0.6, np.arange(50) * 0.6, np.arange(180) * 0.6, indexing="ij")
    values = np.zeros(z.shape)
    for site in structure[0].all():
        if site.atom.name == atom:
            p = site.atom.pos
            values += np.exp(-((x - p.x) ** 2 + (y - p.y) ** 2 + (z - p.z) ** 2) / (2 * 0.6**2))
    return DensityMap(values=torch.from_numpy(values).float(), voxel_size=(0.6, 0.6, 0.6))


def test_the_circle_goes_through_the_atom_at_its_own_angle() -> None:
    structure = _serines([20.0, 75.0, 190.0, 333.0])
    views, xyz = residue_views(structure[0]), atoms_of(structure).xyz
    rows = [atoms for v in views if (atoms := v.indices("N", "CA", "CB", "OG")) is not None]
    assert len(rows) == 4
    sites = xyz.numpy()[np.array(rows)]
    chi, _ = chi1_circle(sites, np.zeros(1))
    expected = torsion_angles(*torch.from_numpy(sites).unbind(1)).numpy() % (2 * math.pi)
    assert np.allclose(chi, expected, atol=1e-6)
    for k, angle in enumerate(chi):
        _, at = chi1_circle(sites[k : k + 1], np.array([angle]))
        assert np.allclose(at[0, 0], sites[k, 3], atol=1e-6)


def test_planted_rotamers_score_as_the_formula_says() -> None:
    structure = _serines([60.0, 180.0, 300.0, 62.0, 178.0, 301.0, 58.0, 182.0])
    found = emringer(_map_of(structure), atoms_of(structure).xyz, residue_views(structure[0]))
    assert len(found.residues) == 8
    assert all(r.is_rotameric for r in found.residues)
    for r in found.residues:
        away = math.degrees(r.angle - r.modelled)
        assert abs((away + 180.0) % 360.0 - 180.0) < 12.0
    z = 8 * (1 - CHANCE) / math.sqrt(CHANCE * (1 - CHANCE) * 8)
    assert found.score == pytest.approx(10 * z / math.sqrt(8))
    assert found.rotameric == 1.0


def test_a_model_with_its_side_chains_elsewhere_is_seen_by_the_map_alone() -> None:
    """The score is of the map's density about the backbone: where the model has its γ atoms does not matter."""
    at_rotamers, eclipsed = _serines([60.0, 180.0, 300.0] * 5), _serines([0.0, 120.0, 240.0] * 5)
    density = _map_of(eclipsed)
    found = emringer(density, atoms_of(at_rotamers).xyz, residue_views(at_rotamers[0]))
    assert not any(r.is_rotameric for r in found.residues)
    assert math.isnan(found.score)


def test_side_chains_off_the_map_and_none_at_all() -> None:
    structure = _serines([60.0, 180.0])
    density = _map_of(structure)
    moved = atoms_of(structure).xyz + torch.tensor([0.0, 0.0, 500.0], dtype=torch.float64)
    assert math.isnan(emringer(density, moved, residue_views(structure[0])).score)
    assert emringer(density, atoms_of(structure).xyz[:0], ()).residues == ()


def test_oracle_of_a_measured_case(shared_data) -> None:  # type: ignore[no-untyped-def]
    """mmtbx.ringer 2025 (cctbx-base) on 3J6B chain 9 and EMD-2566: 1.99584449, 103 side chains, ratio .7619."""
    from burnish.io.models import read_model
    from burnish.io.mrc import read_map

    folder = shared_data / "em/models/3j6b_chain9"
    model = read_model(folder / "model.cif")
    found = emringer(read_map(folder / "map.mrc"), model.atoms.xyz, residue_views(model.structure[0]))
    assert len(found.residues) == 103
    assert found.score == pytest.approx(1.99584449, abs=1e-6)
    assert found.rotameric == pytest.approx(0.7619, abs=1e-4)
