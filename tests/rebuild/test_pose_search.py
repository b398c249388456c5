"""Flexible bodies turn where they may and nowhere else; poses come back to the density they were made from."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from tests.chemistry_models import component

from burnish.chemistry.conformers import ligand_shapes
from burnish.rebuild.flexible import (
    BoxMap,
    FlexibleBody,
    climb,
    density_at,
    distinct,
    flexible_body,
    kicked,
    pose_scores,
    posed,
    turned_positions,
)
from burnish.rebuild.moves.ligands import LigandFit, LigandRules, decide_ligand, is_row_of_waters, ligand_body
from burnish.rebuild.pose_search import search_poses, varied_shapes

SHAPES = ligand_shapes(component("EPE"), 12, 3)
BODY = ligand_body(SHAPES)


def spherical_density(xyz: np.ndarray, step: float = 0.5, height: float = 8.0) -> BoxMap:
    """Gaussians of the width that 2 Å data give, at the atoms, in a box about them."""
    centre = xyz.mean(0)
    axis = np.arange(-12.0, 12.01, step)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1) + centre
    values = sum(height * np.exp(-((points - a) ** 2).sum(-1) / 0.7) for a in xyz)
    return BoxMap(values=torch.tensor(values).float(), origin=torch.from_numpy(centre - 12.0), step=step)


def alike(one: np.ndarray, two: np.ndarray, elements: tuple[str, ...]) -> float:
    """Distance of two poses, Å rms, atoms of one element being exchangeable (rings turned over look the same)."""
    away = ((one[:, None] - two[None]) ** 2).sum(-1)
    away = np.where(np.array(elements)[:, None] == np.array(elements)[None], away, 1e3)
    return float(np.sqrt(away[linear_sum_assignment(away)].mean()))


def bond_lengths(xyz: torch.Tensor) -> torch.Tensor:
    return (xyz[:, SHAPES.bonds[:, 0]] - xyz[:, SHAPES.bonds[:, 1]]).norm(dim=-1)


def test_rings_and_ends_do_not_turn():
    turning = {frozenset((SHAPES.atoms[i], SHAPES.atoms[j])) for i, j in SHAPES.turning.tolist()}
    assert turning == {frozenset(p) for p in (("N1", "C9"), ("C9", "C10"), ("C10", "S"), ("N4", "C7"), ("C7", "C8"))}
    assert SHAPES.xyz.shape[1:] == (len(SHAPES.atoms), 3)


def test_turning_keeps_bonds_and_the_larger_side():
    start = torch.from_numpy(SHAPES.xyz[:1])
    turns = torch.tensor([[0.4, -1.0, 2.0, 0.7, -0.3]], dtype=torch.float64)
    turned = turned_positions(BODY, start, turns)
    torch.testing.assert_close(bond_lengths(turned), bond_lengths(start))
    assert (turned - start).norm(dim=-1).max() > 1.0
    ring = [SHAPES.atoms.index(n) for n in ("N1", "C2", "C3", "N4", "C5", "C6")]
    torch.testing.assert_close(turned[:, ring], start[:, ring])
    torch.testing.assert_close(start, torch.from_numpy(SHAPES.xyz[:1]))


def test_an_anchored_body_stays():
    anchored = flexible_body(BODY.weight, SHAPES.bonds, SHAPES.turning, anchor=0, is_anchored=True)
    start = torch.from_numpy(SHAPES.xyz[:1])
    one = torch.ones(1, 3, dtype=torch.float64)
    moved = posed(anchored, start, one, one, torch.full((1, len(anchored.bonds)), 0.5, dtype=torch.float64))
    torch.testing.assert_close(moved[:, 0], start[:, 0])


def test_density_is_that_of_the_grid():
    box = spherical_density(np.zeros((1, 3)))
    at = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.25, 0.0, 0.0], [50.0, 0.0, 0.0]]])
    near = 8.0 * math.exp(-0.25 / 0.7)
    np.testing.assert_allclose(density_at(box, at)[0].numpy(), [8.0, near, (8.0 + near) / 2, 0.0], atol=1e-4)


def test_gradient_of_the_score():
    box = spherical_density(SHAPES.xyz[0])
    fine = BoxMap(values=box.values.double(), origin=box.origin, step=box.step)
    start = torch.from_numpy(SHAPES.xyz[:1]) + 0.13
    generator = torch.Generator().manual_seed(1)
    parameters = 0.05 * torch.randn(1, 6 + len(BODY.bonds), generator=generator, dtype=torch.float64)

    def score(p: torch.Tensor) -> torch.Tensor:
        return pose_scores(BODY, fine, posed(BODY, start, p[:, :3], p[:, 3:6], p[:, 6:])).sum()

    parameters.requires_grad_()
    (gradient,) = torch.autograd.grad(score(parameters), parameters)
    numeric = torch.zeros_like(gradient)
    for k in range(parameters.shape[1]):
        step = torch.zeros_like(parameters)
        step[0, k] = 1e-5
        with torch.no_grad():
            numeric[0, k] = (score(parameters + step) - score(parameters - step)) / 2e-5
    torch.testing.assert_close(gradient, numeric, rtol=1e-4, atol=1e-3)


def test_climbing_never_ends_lower():
    box = spherical_density(SHAPES.xyz[0])
    start = torch.from_numpy(SHAPES.xyz[:4]).float() + 0.4
    moved, scores = climb(BODY, box, start, steps=15)
    assert (scores >= pose_scores(BODY, box, start) - 1e-4).all()
    np.testing.assert_allclose(pose_scores(BODY, box, moved).numpy(), scores.numpy(), rtol=1e-4)


def test_distinct_poses_differ():
    xyz = torch.zeros(3, 4, 3)
    xyz[2] += 2.0
    assert distinct(xyz, torch.tensor([1.0, 3.0, 2.0]), least=0.5) == [1, 2]


def test_kicks_are_seeded_and_keep_bonds():
    start = torch.from_numpy(SHAPES.xyz[:2]).float()
    one, two = (kicked(BODY, start, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(one, two)
    assert one.shape[0] == 6
    torch.testing.assert_close(bond_lengths(one), bond_lengths(start).repeat_interleave(3, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_turned_molecule_is_found_in_its_density(seed):
    generator = torch.Generator().manual_seed(seed)
    truth = kicked(BODY, torch.from_numpy(SHAPES.xyz[-1:]).float(), 20, generator)
    good = int(pose_scores(BODY, BoxMap(values=torch.zeros(2, 2, 2), origin=torch.zeros(3), step=1.0), truth).argmax())
    xyz = truth[good].double().numpy() + 5.0
    box = spherical_density(xyz)
    shapes = varied_shapes(BODY, SHAPES.xyz[:4], 16, generator)
    assert len(shapes) == 16
    best = search_poses(BODY, shapes, box, xyz + 0.3, generator)[0]
    assert alike(best.xyz, xyz, SHAPES.elements) < 0.6


def test_a_single_atom_is_a_body():
    body: FlexibleBody = flexible_body(
        torch.ones(1), np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2), dtype=np.int64)
    )
    box = spherical_density(np.zeros((1, 3)))
    best = search_poses(body, np.zeros((1, 1, 3)), box, np.array([[0.7, 0.0, 0.0]]), torch.Generator().manual_seed(0))[
        0
    ]
    np.testing.assert_allclose(best.xyz, 0.0, atol=0.15)


@pytest.mark.parametrize(
    ("correlation", "z", "share", "accepted"),
    [(0.9, 6.0, 1.0, True), (0.6, 6.0, 1.0, False), (0.9, 1.5, 1.0, False), (0.9, 6.0, 0.6, False)],
)
def test_decision_about_a_ligand(correlation, z, share, accepted):
    said, reason = decide_ligand(LigandFit(correlation=correlation, mean_z=z, share=share), LigandRules())
    assert said is accepted
    assert f"{correlation:.2f}" in reason


def test_a_row_of_waters_is_no_ligand():
    rules = LigandRules()
    assert not is_row_of_waters(1, 5, rules)
    assert is_row_of_waters(2, 7, rules)
    assert not is_row_of_waters(10, 40, rules)
    assert is_row_of_waters(11, 40, rules)
