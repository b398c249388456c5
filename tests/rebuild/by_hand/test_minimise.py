"""Refinement by hand: the energy of zones, right derivatives, pulls that pull, chains as good as zones."""

import numpy as np
import pytest

from burnish.rebuild.by_hand import minimise as engine
from burnish.rebuild.by_hand.minimise import Pull, evaluate, make_problem, minimise
from burnish.rebuild.by_hand.model import HandModel, zone_atoms
from burnish.rebuild.zone import make_zone
from burnish.rebuild.zone_refinement import zone_energy
from hand_peptide import density_of, hand_model, library, true_model


@pytest.fixture(scope="module")
def model() -> HandModel:
    monlib = library().monlib
    structure = true_model(monlib)
    return hand_model(structure, density_of(structure), monlib)


def disturbed(model: HandModel, atoms: np.ndarray, size: float) -> np.ndarray:
    return model.xyz[atoms] + np.random.default_rng(3).normal(0.0, size, (len(atoms), 3))


def test_the_energy_is_that_of_zones(model: HandModel) -> None:
    atoms = zone_atoms(model, model.find("A", "4"), "zone")
    start = disturbed(model, atoms, 0.2)
    xyz = model.xyz.copy()
    xyz[atoms] = start
    _, energy, density, _, _ = evaluate(make_problem(model.system, model.around(), xyz, atoms, model.target), start)
    zone = make_zone(model.system, model.around(), atoms, start[None])
    expected, at = zone_energy(model.system, zone, model.xyz, start, model.target)
    assert energy.total == pytest.approx(expected.total, rel=1e-9)
    np.testing.assert_allclose(density, at)


def test_derivatives(model: HandModel) -> None:
    view = model.find("A", "5")
    atoms = zone_atoms(model, view, "residue")
    start = disturbed(model, atoms, 0.3)
    pull = Pull(atom=int(atoms[-1]), goal=start[-1] + 0.7, sigma=0.2)
    held = make_problem(model.system, model.around(), model.xyz, atoms, model.target, (pull,))
    _, _, _, gradient, normal = evaluate(held, start)
    numeric = np.zeros(start.size)
    for k in range(start.size):
        for sign in (1.0, -1.0):
            moved = start.reshape(-1).copy()
            moved[k] += sign * 1e-5
            numeric[k] += sign * evaluate(held, moved.reshape(-1, 3))[0] / 2e-5
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=2e-2)  # the map's coefficients are float32
    assert np.linalg.eigvalsh(normal.toarray()).min() > -1e-8


def test_a_disturbed_chain_comes_back(model: HandModel) -> None:
    atoms = zone_atoms(model, 0, "chain")
    start = disturbed(model, atoms, 0.25)
    before = model.xyz.copy()
    xyz = model.xyz.copy()
    xyz[atoms] = start
    done = minimise(make_problem(model.system, model.around(), xyz, atoms, model.target), start, steps=40)
    rms = np.sqrt(((done.xyz - model.xyz[atoms]) ** 2).sum(axis=1).mean())
    assert rms < 0.12
    np.testing.assert_array_equal(model.xyz, before)


def test_conjugate_gradients_reach_what_factorising_reaches(model: HandModel, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = zone_atoms(model, 0, "all")
    start = disturbed(model, atoms, 0.15)
    problem = make_problem(model.system, model.around(), model.xyz, atoms, model.target)
    direct = minimise(problem, start, steps=40)
    monkeypatch.setattr(engine, "DIRECT", 0)
    iterative = minimise(problem, start, steps=40)
    assert iterative.energy.total == pytest.approx(direct.energy.total, abs=1.0)


def test_a_pull_wins_over_density_but_not_over_bonds(model: HandModel) -> None:
    view = model.find("A", "5")
    own = model.views[view]
    atoms = zone_atoms(model, view, "residue")
    goal = model.xyz[own.atoms["CZ"]] + np.array([0.6, 0.4, -0.3])
    pull = Pull(atom=own.atoms["CZ"], goal=goal)
    problem = make_problem(model.system, model.around(), model.xyz, atoms, model.target, (pull,))
    done = minimise(problem, model.xyz[atoms], steps=40)
    at = dict(zip(atoms.tolist(), done.xyz, strict=True))
    assert np.linalg.norm(at[own.atoms["CZ"]] - goal) < 0.25  # of .78: this density is 11σ high
    bond = np.linalg.norm(at[own.atoms["CZ"]] - at[own.atoms["CE1"]])
    assert bond == pytest.approx(1.38, abs=0.06)
    outside = Pull(atom=0, goal=goal)
    problem = make_problem(model.system, model.around(), model.xyz, atoms, model.target, (outside,))
    assert len(problem.pulled) == 0
