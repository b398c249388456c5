"""Proposals and decisions: conformations are what they are called, decisions follow from the numbers."""

import math
from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms
from burnish.chemistry.residues import residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.geometry.torsions import place_atoms, torsion_angles
from burnish.rebuild.conformations import (
    beyond,
    bond_graph,
    chi_of,
    torsion,
    with_backrub,
    with_chi,
    with_peptide_turned,
)
from burnish.rebuild.move import FINALISTS, MARGIN, MET, Judgement, _finalists, decide, shown_elsewhere
from burnish.rebuild.moves.amides import flip_side_chains
from burnish.rebuild.moves.peptides import peptide_site
from burnish.rebuild.moves.rotamers import rotamer_site
from burnish.rebuild.rounds import RoundQuality, best_round, is_clearer, should_stop
from burnish.rebuild.torsion_energy import CIS_PROLINE_NLL, peptide_nll
from burnish.validate.flips import Flip
from peptide_model import make_peptide, positions


def with_leucine() -> gemmi.Structure:
    structure = make_peptide(["ALA", "LEU", "ALA"], -62.0, -42.0)
    residue = structure[0]["A"][1]

    def at(name):
        return torch.tensor([residue[name][0].pos.tolist()], dtype=torch.float64)

    def add(name, a, b, c, length, angle, turn):
        one = torch.ones(1, dtype=torch.float64)
        placed = place_atoms(at(a), at(b), at(c), one * length, one * math.radians(angle), one * math.radians(turn))
        atom = gemmi.Atom()
        atom.name, atom.element, atom.occ, atom.b_iso = name, gemmi.Element("C"), 1.0, 20.0
        atom.pos = gemmi.Position(*placed[0].tolist())
        residue.add_atom(atom)

    add("CG", "N", "CA", "CB", 1.53, 116.0, -60.0)
    add("CD1", "CA", "CB", "CG", 1.52, 110.5, 175.0)
    add("CD2", "CA", "CB", "CG", 1.52, 110.5, -63.0)
    return structure


LEUCINE = with_leucine()
VIEWS = residue_views(LEUCINE[0])
XYZ = positions(LEUCINE).numpy()
PAIRS = np.array([(5, 6), (6, 7), (7, 8), (6, 9), (9, 10), (10, 11), (10, 12), (2, 5), (7, 13)])
GRAPH = bond_graph(PAIRS)


def test_atoms_beyond_a_bond():
    inside = set(VIEWS[1].atoms.values())
    assert beyond(GRAPH, 6, 9, inside) == [10, 11, 12]
    assert beyond(GRAPH, 9, 10, inside) == [11, 12]


def test_side_chain_takes_the_torsions_asked_for_and_keeps_its_bonds():
    wanted = (math.radians(180.0), math.radians(65.0))
    moved = with_chi(XYZ, VIEWS[1], GRAPH, wanted)
    found = chi_of(moved, VIEWS[1])
    assert found is not None
    assert [math.cos(f - w) for f, w in zip(found, wanted, strict=True)] == pytest.approx([1.0, 1.0])
    for i, j in PAIRS:
        assert np.linalg.norm(moved[i] - moved[j]) == pytest.approx(np.linalg.norm(XYZ[i] - XYZ[j]))
    others = [k for k in range(len(XYZ)) if k not in (10, 11, 12)]
    np.testing.assert_array_equal(moved[others], XYZ[others])


def test_torsions_are_those_of_the_reference_function():
    points = np.random.default_rng(0).normal(size=(40, 4, 3))
    expected = torsion_angles(*torch.from_numpy(points).unbind(1)).tolist()
    assert [torsion(p, range(4)) for p in points] == pytest.approx(expected, abs=1e-12)


def test_candidates_that_come_back_or_together_are_not_refined_to_the_end():
    here, there = np.zeros((4, 3)), np.full((4, 3), 1.0)
    beside = there + 0.5 * MET / math.sqrt(3.0)
    places = np.stack([here + 0.05, there, beside, here - 0.05, there + 2.0])
    assert _finalists(np.array([10.0, 12.0, 11.0, 10.0 - 2.0 * MARGIN, 30.0]), places, here, 10.0) == [3, 2, 4]
    assert _finalists(np.array([10.0, 12.0, 11.0, 10.0, 30.0]), places, None, 10.0) == [0, 2, 4]
    assert _finalists(np.full(3, 10.0), np.stack([here] * 3), here, 10.0) == []
    many = np.arange(40.0)[:, None, None] + np.zeros((40, 4, 3))
    assert _finalists(np.arange(40.0)[::-1], many, here, 0.0) == list(range(39, 39 - FINALISTS, -1))


def test_every_common_rotamer_is_proposed():
    site = rotamer_site(XYZ, VIEWS, 1, GRAPH, "test", spread=False)
    assert site is not None
    names = {c.name for c in site.candidates}
    assert {r.name for r in rotamers_of("LEU") if r.frequency > 0.002} <= names
    assert any("backrub" in n for n in names)
    assert site.judged.sum() == 4  # CB, CG, CD1, CD2


def test_no_rotamers_for_alanine_or_cut_side_chains():
    assert rotamer_site(XYZ, VIEWS, 0, GRAPH, "test") is None
    cut = without_atoms(LEUCINE, {11})
    assert rotamer_site(positions(cut).numpy(), residue_views(cut[0]), 1, GRAPH, "test") is None


def test_backrub_keeps_the_ends_and_moves_the_side_chain():
    moved = with_backrub(XYZ, VIEWS, 1, math.radians(10.0))
    assert moved is not None
    for i in (VIEWS[0].atoms["CA"], VIEWS[2].atoms["CA"]):
        np.testing.assert_allclose(moved[i], XYZ[i])
    shift = np.linalg.norm(moved - XYZ, axis=1)
    assert shift[VIEWS[1].atoms["CD1"]] > 0.3
    assert shift[VIEWS[0].atoms["O"]] < 0.5
    assert with_backrub(XYZ, VIEWS, 0, 0.1) is None


def test_peptide_turned_over():
    moved = with_peptide_turned(XYZ, VIEWS, 0, math.pi)
    assert moved is not None
    ca1, c, o = (VIEWS[0].atoms[n] for n in ("CA", "C", "O"))
    ca2 = VIEWS[1].atoms["CA"]
    before, after = torsion(XYZ, (c, ca1, ca2, c)), torsion(moved, (c, ca1, ca2, c))
    assert before == pytest.approx(after)
    axis = (XYZ[ca2] - XYZ[ca1]) / np.linalg.norm(XYZ[ca2] - XYZ[ca1])
    old, new = XYZ[o] - XYZ[ca1], moved[o] - XYZ[ca1]
    assert old @ axis == pytest.approx(new @ axis)
    np.testing.assert_allclose(old - (old @ axis) * axis, -(new - (new @ axis) * axis), atol=1e-9)
    site = peptide_site(XYZ, VIEWS, 0, "test")
    assert site is not None
    assert site.judged.sum() == 3
    assert peptide_site(XYZ, VIEWS, 2, "test") is None


def numbers(energy: float, density: float) -> Judgement:
    return Judgement(
        name="x",
        energy=energy,
        geometry=0.0,
        contact=0.0,
        density=0.0,
        torsions=0.0,
        mean_density=density,
        least_density=density,
    )


@pytest.mark.parametrize(
    ("gain", "denser", "expected"),
    [
        (10.0, 0.5, True),
        (3.9, 2.0, False),
        (10.0, -0.5, False),
        (10.0, -0.2, True),
        (-5.0, 3.0, False),
        (20.0, -0.9, False),
    ],
)
def test_decision(gain, denser, expected):
    accepted, reason = decide(numbers(50.0, 2.0), numbers(50.0 - gain, 2.0 + denser))
    assert accepted is expected
    assert "x" in reason


def test_what_the_difference_map_shows_needs_no_margin_but_must_not_lose():
    before = numbers(50.0, 2.0)
    assert decide(before, numbers(49.0, 2.0), shown=3.5)[0]
    assert not decide(before, numbers(49.0, 2.0), shown=2.5)[0]
    assert not decide(before, numbers(50.0, 2.0), shown=6.0)[0]
    assert not decide(before, numbers(45.0, 1.5), shown=6.0)[0]
    assert "6.0 σ at its new places" in decide(before, numbers(49.0, 2.0), shown=6.0)[1]


def test_a_usual_conformation_is_left_for_density_or_for_much_strain():
    before, other = numbers(50.0, 2.0), replace(numbers(43.0, 2.1), density=-3.0)
    assert decide(before, other)[0]
    accepted, reason = decide(before, other, for_density=True)
    assert not accepted
    assert "of which 3.0 from the data" in reason
    assert decide(before, replace(other, density=-5.0), for_density=True)[0]
    assert decide(before, other, for_density=True, shown=4.0)[0]
    assert decide(before, replace(other, energy=41.0), for_density=True)[0]


def test_what_is_rare_is_taken_for_density_alone():
    before, other = numbers(50.0, 2.0), replace(numbers(20.0, 2.1), density=-3.0)
    assert decide(before, other)[0]
    accepted, reason = decide(before, other, by_density=True)
    assert not accepted
    assert "of which 3.0 from the data" in reason
    assert decide(before, replace(other, density=-4.5), by_density=True)[0]


def test_difference_density_counts_only_at_new_places():
    old = np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]])
    places = np.array([[0.2, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 3.0, 0.0]])
    assert shown_elsewhere(old, places[None], lambda x: x[:, 1] * 2.0) == pytest.approx([4.5])
    assert shown_elsewhere(old, places[None], lambda x: 2.0 - x[:, 1]) == [0.0]
    assert shown_elsewhere(old, places[None, :1], lambda x: x[:, 1] + 9.0) == [0.0]


def test_amide_flip_swaps_places_and_is_undone_by_its_record():
    flip = Flip(residue="A 2 ASN", chain="A", number="2", name="ASN", altloc="", score=0.0, flipped_score=5.0)
    structure = make_peptide(["ALA", "ASN", "ALA"], -62.0, -42.0)
    residue = structure[0]["A"][1]
    cb = np.array(residue["CB"][0].pos.tolist())
    for name, element, shift in (("CG", "C", (1.5, 0, 0)), ("OD1", "O", (2.1, 1.0, 0)), ("ND2", "N", (2.1, -1.0, 0))):
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = name, gemmi.Element(element), gemmi.Position(*(cb + shift))
        residue.add_atom(atom)
    xyz, views = positions(structure).numpy(), residue_views(structure[0])
    names = tuple(f"atom {k}" for k in range(len(xyz)))
    moved, (record,) = flip_side_chains(xyz, views, [flip], names)
    od1, nd2 = views[1].atoms["OD1"], views[1].atoms["ND2"]
    np.testing.assert_allclose(moved[od1], xyz[nd2], atol=1e-9)
    for name, old in record.undo:
        moved[names.index(name)] = old
    np.testing.assert_allclose(moved, xyz)
    assert flip_side_chains(xyz, views, [replace(flip, number="9")], names)[1] == []


def test_atoms_and_waters_come_and_go():
    structure = make_peptide(["ALA", "ALA"], -62.0, -42.0)
    grown, labels = with_waters(structure, [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)], [20.0, 30.0])
    assert labels == ("W 1 HOH", "W 2 HOH")
    assert structure[0].count_atom_sites() == 10
    again, more = with_waters(grown, [(7.0, 8.0, 9.0)], [25.0])
    assert more == ("W 3 HOH",)
    fewer = without_atoms(again, {10})
    assert [r.seqid.num for r in fewer[0]["W"]] == [2, 3]
    assert [chain.name for chain in without_atoms(again, {10, 11, 12})[0]] == ["A"]
    moved = with_positions(structure, positions(structure).numpy() + 1.0)
    np.testing.assert_allclose(positions(moved) - positions(structure), 1.0)


def test_peptides_are_flat_and_rarely_cis():
    assert peptide_nll(math.pi) == pytest.approx(0.0)
    assert peptide_nll(math.radians(-174.0)) == pytest.approx(0.5)
    assert peptide_nll(0.0) == pytest.approx(-math.log(0.0005), abs=0.01)
    assert peptide_nll(math.radians(90.0)) == 12.0
    assert peptide_nll(0.0, CIS_PROLINE_NLL) == pytest.approx(-math.log(0.052 / 0.948), abs=0.01)


def quality(r_free: float, score: float = 1.5, accepted: int = 3, error: float = 0.0) -> RoundQuality:
    return RoundQuality(
        r_free_error=error,
        r_work=r_free - 0.03,
        r_free=r_free,
        favoured_percent=98.0,
        rotamer_outlier_percent=1.0,
        clashscore=3.0,
        molprobity_score=score,
        accepted=accepted,
    )


def test_the_best_round_is_that_of_the_best_geometry_where_r_free_cannot_tell():
    assert best_round([quality(0.26), quality(0.24), quality(0.241)]) == 1
    assert best_round([quality(0.250, 1.2), quality(0.248, 2.2)]) == 1
    assert best_round([quality(0.250, 1.2, error=0.004), quality(0.248, 2.2, error=0.004)]) == 0
    assert best_round([quality(0.253, 1.2, error=0.004), quality(0.248, 2.2, error=0.004)]) == 1
    assert best_round([quality(0.250, 1.501, error=0.004), quality(0.248, 1.503, error=0.004)]) == 1
    assert best_round([quality(0.25), quality(0.25)]) == 0
    one_clash = [
        quality(0.252, 1.015, error=0.011),
        quality(0.249, 1.11, error=0.011),
        quality(0.247, 1.11, error=0.01),
    ]
    assert best_round(one_clash) == 2
    assert best_round([one_clash[0], quality(0.247, 1.13, error=0.01)]) == 0


def test_when_maps_are_clearer():
    assert is_clearer(quality(0.30), quality(0.27))
    assert not is_clearer(quality(0.30), quality(0.29))
    assert not is_clearer(quality(0.27), quality(0.30))


def test_when_to_stop():
    assert should_stop([quality(0.26, accepted=0)], 5) is None
    assert should_stop([quality(0.26), quality(0.25), quality(0.24)], 2) == "2 rounds done"
    assert should_stop([quality(0.26), quality(0.25, accepted=0)], 5) == "no move was accepted"
    assert should_stop([quality(0.25), quality(0.2501), quality(0.2502)], 5) == "two rounds without gain"
    assert should_stop([quality(0.26), quality(0.25), quality(0.24)], 5) is None
    assert should_stop([quality(0.25, 1.5), quality(0.25, 1.4), quality(0.25, 1.3)], 5) is None
    assert should_stop([quality(0.25, 1.5), quality(0.25, 1.49), quality(0.25, 1.5)], 5) == "two rounds without gain"
    bought = [quality(0.25, 1.2, error=0.01), quality(0.245, 1.6, error=0.01), quality(0.244, 1.7, error=0.01)]
    assert should_stop(bought, 5) == "two rounds without gain"
