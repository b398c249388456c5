"""Helices and strands: which residues they are, and what holds them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.workflows.small_crystal import helix

from burnish.chemistry.labels import atom_labels
from burnish.chemistry.library import read_library
from burnish.chemistry.topology import build_topology
from burnish.io.models import atoms_of
from burnish.models.restraints.secondary_structure import (
    chain_residues,
    find_secondary_structure,
    helix_places,
    hydrogen_bonds,
    secondary_structure_terms,
    strand_bridges,
)

RESIDUES = 12


@pytest.fixture(scope="module")
def built() -> tuple:
    """Labels, restraints and positions of an ideal helix."""
    structure = helix(RESIDUES)
    library = read_library(sorted({r.name for r in structure[0]["A"]}))
    topology = build_topology(structure, library.monlib, hydrogens="add")
    return atom_labels(topology.structure), topology.restraints, atoms_of(topology.structure).xyz.numpy()


def test_an_ideal_helix_is_a_helix(built: tuple) -> None:
    labels, restraints, xyz = built
    bonds = hydrogen_bonds(xyz, chain_residues(labels, restraints))
    assert {(i, i + 4) for i in range(RESIDUES - 4)} <= bonds
    assert helix_places(bonds) == set(range(1, RESIDUES - 1))
    found = find_secondary_structure(labels, restraints, xyz)
    assert (found.helix, found.strand) == (RESIDUES - 2, 0)
    distance = np.linalg.norm(xyz[found.pairs[:, 0]] - xyz[found.pairs[:, 1]], axis=1)
    assert np.abs(distance - found.distance).max() < 0.3


def test_a_stretched_chain_has_none(built: tuple) -> None:
    labels, restraints, xyz = built
    found = find_secondary_structure(labels, restraints, xyz * np.array([2.0, 2.0, 2.0]))
    assert found.helix + found.strand == len(found.pairs) == 0


def test_ladders_of_antiparallel_and_parallel_strands() -> None:
    # C=O of the first place to N–H of the second; a narrow antiparallel pair every other residue
    anti = {(i, 40 - i) for i in range(10, 16, 2)} | {(40 - i, i) for i in range(10, 16, 2)}
    assert {(10, 30), (12, 28), (14, 26)} <= strand_bridges(anti)
    parallel = {(i - 1, i + 50) for i in range(10, 16, 2)} | {(i + 50, i + 1) for i in range(10, 16, 2)}
    assert {(10, 60), (12, 62), (14, 64)} <= strand_bridges(parallel)
    assert strand_bridges({(10, 30), (30, 10)}) == set()  # one bridge is no ladder
    assert helix_places({(3, 7)}) == set()  # one turn is no helix


def test_gradient_against_finite_differences(built: tuple) -> None:
    labels, restraints, xyz = built
    found = find_secondary_structure(labels, restraints, xyz)
    moved = xyz + 0.2 * np.random.default_rng(1).standard_normal(xyz.shape)
    direction = np.random.default_rng(2).standard_normal(xyz.shape)
    for k in range(2):
        slope = secondary_structure_terms(moved, found)[k].gradient @ direction.reshape(-1)
        ahead, behind = (secondary_structure_terms(moved + s * direction, found)[k].energy for s in (1e-5, -1e-5))
        assert slope == pytest.approx((ahead - behind) / 2e-5, rel=1e-5)
        before = secondary_structure_terms(xyz, found)[k].energy
        assert before < secondary_structure_terms(moved, found)[k].energy
