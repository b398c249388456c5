"""Loops: drawn torsions, ideal geometry, closed ends, oxygens in the peptide's plane."""

import math

import pytest
import torch

from burnish.chemistry.residues import residue_views
from burnish.geometry.torsions import bond_angles, torsion_angles
from burnish.rebuild.loops import (
    CLOSED,
    LENGTHS,
    Anchors,
    Present,
    carbonyl_oxygens,
    close,
    grow,
    loop_backbones,
    sample_torsions,
)
from burnish.rebuild.moves.backbone import backbone_window, is_wrong, window_atoms
from peptide_model import make_peptide, positions

STRUCTURE = make_peptide(["ALA"] * 7, -62.0, -42.0)
VIEWS = residue_views(STRUCTURE[0])
XYZ = positions(STRUCTURE)
DOUBLE = torch.float64


def main_chain(index: int) -> torch.Tensor:
    return XYZ[list(VIEWS[index].indices("N", "CA", "C"))]


ANCHORS = Anchors(before=main_chain(1), after=main_chain(5))


def test_a_chain_grows_with_the_torsions_and_geometry_it_is_given():
    phi_psi = torch.deg2rad(torch.tensor([[[-62.0, -42.0]] * 4], dtype=DOUBLE))
    chain = grow(ANCHORS, phi_psi, phi_psi[:, 0, 1], torch.full((1, 4), math.pi, dtype=DOUBLE))[0]
    torch.testing.assert_close(chain[:3], main_chain(2), atol=0.03, rtol=0)  # angles differ by 0.7°
    assert torch.linalg.vector_norm(chain[1] - chain[0]).item() == pytest.approx(LENGTHS["CA"])
    assert torsion_angles(*(chain[k][None] for k in (0, 1, 2, 3))).item() == pytest.approx(math.radians(-42.0))


def test_closing_brings_the_end_home_without_bending_bonds():
    generator = torch.Generator().manual_seed(4)
    torsions = sample_torsions(["general"] * 4, 200, generator)
    chains = grow(ANCHORS, torsions, torsions[:, 0, 1], torch.full((200, 4), math.pi, dtype=DOUBLE))
    before = chains.clone()
    closed, gap = close(ANCHORS, chains)
    assert torch.equal(chains, before)
    assert int((gap < CLOSED).sum()) > 20
    good = closed[gap < CLOSED]
    torch.testing.assert_close(
        (good[:, 1:] - good[:, :-1]).norm(dim=-1), (before[:1, 1:] - before[:1, :-1]).norm(dim=-1).expand(len(good), 11)
    )
    middle = bond_angles(good[:, 3], good[:, 4], good[:, 5])
    torch.testing.assert_close(middle, bond_angles(before[:1, 3], before[:1, 4], before[:1, 5]).expand(len(good)))
    omega = torsion_angles(good[:, 1], good[:, 2], good[:, 3], good[:, 4])
    assert float((omega.abs() - math.pi).abs().max()) < 1e-6


def test_the_true_loop_is_among_those_found():
    present = Present(
        phi_psi=torch.deg2rad(torch.tensor([[-62.0, -42.0]] * 5, dtype=DOUBLE)),
        good=torch.ones(5, dtype=torch.bool),
    )
    generator = torch.Generator().manual_seed(5)
    closed = loop_backbones(ANCHORS, ["general"] * 4, "general", present, trials=200, generator=generator)
    truth = torch.cat([main_chain(k) for k in (2, 3, 4, 5)])
    away = (closed - truth).square().sum(-1).mean(-1).sqrt()
    assert float(away.min()) < 0.5


def test_of_many_trials_those_that_end_nearest_are_closed():
    found = {}
    for trials in (100, 4000):
        generator = torch.Generator().manual_seed(8)
        closed = loop_backbones(ANCHORS, ["general"] * 4, "general", trials=trials, generator=generator, most=100)
        assert len(closed) <= 100
        found[trials] = len(closed)
    assert found[4000] > 2 * found[100]


def test_drawn_torsions_are_favoured():
    from burnish.chemistry.ramachandran import ramachandran_levels

    drawn = sample_torsions(["general"], 2000, torch.Generator().manual_seed(6))[:, 0]
    level = ramachandran_levels(["general"] * 2000, drawn)
    assert float((level > 0.02).double().mean()) > 0.9


def test_oxygens_lie_in_the_plane_of_the_peptide():
    chain = torch.cat([main_chain(k) for k in (2, 3, 4, 5)])[None]
    oxygens = carbonyl_oxygens(chain, ANCHORS.before)[0]
    truth = torch.stack([XYZ[VIEWS[k].atoms["O"]] for k in (1, 2, 3, 4)])
    assert float((oxygens - truth).norm(dim=1).max()) < 0.1


def test_windows_end_where_the_chain_does():
    window = backbone_window(VIEWS, 3, 3)
    assert window == (2, 3, 4)
    assert backbone_window(VIEWS, 1, 3) is None
    assert backbone_window(VIEWS, 5, 5) is None
    atoms = window_atoms(VIEWS, window)
    assert len(atoms) == 15 + 2 + 3


def test_what_speaks_against_a_trace():
    assert is_wrong(0.1, math.pi, "favoured", 0.95, proline=False) == []
    assert is_wrong(0.1, 0.0, "favoured", 0.95, proline=True) == []
    assert len(is_wrong(2.2, math.radians(47.0), "outlier", 0.4, proline=False)) == 4
