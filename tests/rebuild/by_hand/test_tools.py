"""The tools of the hand: each does what it says, and only where it says."""

import math

import numpy as np
import pytest

from burnish.core.errors import InputError
from burnish.rebuild.by_hand import conformation_tools as conformations
from burnish.rebuild.by_hand import growth_tools as growth
from burnish.rebuild.by_hand.loop_tool import rebuild_loop
from burnish.rebuild.by_hand.model import HandModel, zone_atoms
from burnish.rebuild.conformations import torsion, with_chi, with_peptide_turned
from hand_peptide import CHI_DEG, density_of, hand_model, library, true_model

LIBRARY = library()


@pytest.fixture(scope="module")
def model() -> HandModel:
    structure = true_model(LIBRARY.monlib)
    return hand_model(structure, density_of(structure), LIBRARY.monlib)


def moved_residues(model: HandModel, xyz: np.ndarray) -> set[str]:
    away = np.linalg.norm(xyz - model.xyz, axis=1)
    return {v.number for v in model.views if max(away[list(v.atoms.values())]) > 1e-9}


def put(model: HandModel, xyz: np.ndarray) -> HandModel:
    """The model with its atoms elsewhere, in the same density."""
    structure = model.structure.clone()
    for site, at in zip(structure[0].all(), xyz, strict=True):
        site.atom.pos.fromlist(at.tolist())
    from dataclasses import replace

    return replace(model, xyz=xyz, structure=structure)


@pytest.mark.parametrize(("extent", "expected"), [("residue", 1), ("zone", 5), ("chain", 7), ("all", 7)])
def test_extents(model: HandModel, extent: str, expected: int) -> None:
    atoms = set(zone_atoms(model, model.find("A", "4"), extent).tolist())
    assert sum(bool(atoms & set(v.atoms.values())) for v in model.views) == expected
    sphere = zone_atoms(model, model.find("A", "4"), "sphere")
    assert set(zone_atoms(model, model.find("A", "4"), "residue").tolist()) < set(sphere.tolist())


def test_best_rotamer_finds_the_density(model: HandModel) -> None:
    view = model.find("A", "3")
    wrong = with_chi(model.xyz, model.views[view], model.graph, [math.radians(60.0), math.radians(80.0)])
    moved = conformations.best_rotamer(put(model, wrong), view)
    np.testing.assert_allclose(moved.xyz, model.xyz, atol=0.25)
    assert moved.density[1] > moved.density[0] + 1.0


def test_rotamers_come_round(model: HandModel) -> None:
    view, seen, now = model.find("A", "4"), [], model
    for _ in range(3):
        moved = conformations.next_rotamer(now, view)
        assert moved_residues(now, moved.xyz) == {"4"}
        seen.append(moved.note.split()[1])
        now = put(model, moved.xyz)
    assert sorted(seen) == ["m", "p", "t"]
    with pytest.raises(InputError, match="no rotamers"):
        conformations.next_rotamer(model, model.find("A", "1"))


def test_a_wrong_peptide_is_flipped_back(model: HandModel) -> None:
    view = model.find("A", "3")
    wrong = with_peptide_turned(model.xyz, model.views, view, math.pi)
    assert wrong is not None
    moved = conformations.flip_peptide(put(model, wrong), view)
    oxygen = model.views[view].atoms["O"]
    assert np.linalg.norm(moved.xyz[oxygen] - model.xyz[oxygen]) < 0.4
    with pytest.raises(InputError, match="no peptide after it"):
        conformations.flip_peptide(model, model.find("A", "7"))


def test_chi_angles_are_what_was_asked(model: HandModel) -> None:
    view = model.find("A", "5")
    moved = conformations.turn_side_chain(model, view, (180.0, 60.0), refine=False)
    chi = conformations.present_chi_deg(put(model, moved.xyz), view)
    np.testing.assert_allclose(np.abs(chi), (180.0, 60.0), atol=0.2)
    assert conformations.present_chi_deg(model, view) == pytest.approx(CHI_DEG["PHE"], abs=0.2)
    with pytest.raises(InputError, match="expected 2 χ angles"):
        conformations.turn_side_chain(model, view, (1.0,), refine=False)


def test_a_dragged_atom_follows_in_small_steps_and_settles(model: HandModel) -> None:
    view = model.find("A", "5")
    own = model.views[view]
    goal = model.xyz[own.atoms["CZ"]] + np.array([0.5, 0.5, 0.5])
    first, _ = conformations.drag_atom(model, view, "CZ", goal, steps=2)
    second, _ = conformations.drag_atom(model, view, "CZ", goal, first.xyz[first.atoms], steps=6)
    away = [np.linalg.norm(x[own.atoms["CZ"]] - goal) for x in (model.xyz, first.xyz, second.xyz)]
    assert away[0] > away[1] > away[2]
    settled = conformations.settle(model, second.atoms, second.xyz[second.atoms], "")
    np.testing.assert_allclose(settled.xyz, model.xyz, atol=0.25)
    with pytest.raises(InputError, match="has no atom XX"):
        conformations.drag_atom(model, view, "XX", goal)


def test_rigid_bodies(model: HandModel) -> None:
    view = model.find("A", "4")
    moved = conformations.move_rigidly(model, view, "chain", (0.5, -0.3, 0.2), (0.0, 6.0, 0.0))
    inside = [np.linalg.norm(x[3] - x[20]) for x in (model.xyz, moved.xyz)]
    assert inside[0] == pytest.approx(inside[1])
    back = conformations.fit_rigidly(put(model, moved.xyz), view, "chain")
    np.testing.assert_allclose(back.xyz, model.xyz, atol=0.1)


def test_refinement_stays_in_its_zone(model: HandModel) -> None:
    wrong = model.xyz + np.random.default_rng(0).normal(0.0, 0.1, model.xyz.shape)
    moved = conformations.refine_about(put(model, wrong), model.find("A", "4"), "residue")
    assert moved_residues(put(model, wrong), moved.xyz) == {"4"}


def test_mutation_keeps_the_backbone(model: HandModel) -> None:
    view = model.find("A", "3")
    grown = growth.mutate(model, view, "TRP")
    after = hand_model(grown.structure, density_of(model.structure), LIBRARY.monlib)
    new = after.views[after.find("A", "3")]
    assert new.name == "TRP"
    assert {"CZ2", "NE1"} <= set(new.atoms)
    assert "CD1" in new.atoms
    for name in ("N", "CA", "C", "O", "CB"):
        np.testing.assert_allclose(after.xyz[new.atoms[name]], model.xyz[model.views[view].atoms[name]], atol=1e-3)
    assert torsion(after.xyz, tuple(new.atoms[n] for n in ("N", "CA", "C", "CB"))) < 0  # an L amino acid
    glycine = growth.mutate(model, view, "GLY").structure
    assert {a.name for a in glycine[0]["A"]["3"][0]} == {"N", "CA", "C", "O"}
    for bad in ("HOH", "NONE"):
        with pytest.raises(InputError, match="expected two amino acids"):
            growth.mutate(model, view, bad)


@pytest.mark.parametrize(("end", "gone"), [("6", "7"), ("2", "1")])
def test_a_residue_at_an_end_finds_its_density(model: HandModel, end: str, gone: str) -> None:
    lost = model.views[model.find("A", gone)]
    short = growth.delete_atoms(model, model.find("A", gone), "residue").structure
    cut = hand_model(short, density_of(model.structure), LIBRARY.monlib)
    grown = growth.add_terminal_residue(cut, cut.find("A", end))
    assert grown.place == ("A", gone)
    after = hand_model(grown.structure, density_of(model.structure), LIBRARY.monlib)
    moved = conformations.refine_about(after, after.find("A", gone), "residue")
    for name in ("CA", "C"):
        at = after.views[after.find("A", gone)].atoms[name]
        assert np.linalg.norm(moved.xyz[at] - model.xyz[lost.atoms[name]]) < 0.8
    with pytest.raises(InputError, match="inside a chain"):
        growth.add_terminal_residue(model, model.find("A", "3"))


def test_a_water_climbs_to_its_peak() -> None:
    structure = true_model(LIBRARY.monlib)
    corner = np.array([s.atom.pos.tolist() for s in structure[0].all()]).max(axis=0) + 2.0
    peak = (float(corner[0]), float(corner[1]), float(corner[2]))
    with_peak = hand_model(structure, density_of(structure, (peak,)), LIBRARY.monlib)
    grown = growth.add_water(with_peak, (peak[0] + 0.4, peak[1] - 0.3, peak[2]))
    water = next(r for c in grown.structure[0] for r in c if r.is_water())
    np.testing.assert_allclose(water[0].pos.tolist(), peak, atol=0.15)
    assert not any(r.is_water() for c in with_peak.structure[0] for r in c)
    with pytest.raises(InputError, match=r"1\.8 Å"):
        growth.add_water(with_peak, tuple(with_peak.xyz[5]))


def test_deletions(model: HandModel) -> None:
    view = model.find("A", "5")
    count = model.structure[0].count_atom_sites()
    assert growth.delete_atoms(model, view, "atom", "CZ").structure[0].count_atom_sites() == count - 1
    assert growth.delete_atoms(model, view, "side chain").structure[0].count_atom_sites() == count - 6
    with pytest.raises(InputError, match="cannot delete atom XX"):
        growth.delete_atoms(model, view, "atom", "XX")


def test_a_ligand_is_placed_in_its_blob() -> None:
    structure = true_model(LIBRARY.monlib)
    component = LIBRARY.monlib.monomers["GOL"]
    own = np.array([a.xyz.tolist() for a in component.atoms if not a.is_hydrogen()])
    centre = np.array([s.atom.pos.tolist() for s in structure[0].all()]).max(axis=0) + 3.0
    truth = own - own.mean(axis=0) + centre
    density = density_of(structure, tuple(map(tuple, truth)))  # type: ignore[arg-type]
    grown = growth.fit_ligand_here(hand_model(structure, density, LIBRARY.monlib), "GOL", tuple(centre))  # type: ignore[arg-type]
    assert grown.place is not None
    placed = hand_model(grown.structure, density, LIBRARY.monlib)
    view = placed.find(*grown.place)
    xyz = conformations.refine_about(placed, view, "residue").xyz[list(placed.views[view].atoms.values())]
    assert np.median([min(np.linalg.norm(truth - x, axis=1)) for x in xyz]) < 0.3
    with pytest.raises(InputError, match="no free density"):
        growth.fit_ligand_here(hand_model(structure, density, LIBRARY.monlib), "GOL", (500.0, 0.0, 0.0))
    with pytest.raises(InputError, match="not in the dictionaries"):
        growth.fit_ligand_here(hand_model(structure, density, LIBRARY.monlib), "NONE", tuple(centre))  # type: ignore[arg-type]


def test_a_loop_is_built_through_its_density(model: HandModel) -> None:
    view = model.find("A", "4")
    wrong = model.xyz.copy()
    for number in ("3", "4", "5"):
        atoms = list(model.views[model.find("A", number)].atoms.values())
        wrong[atoms] += np.array([0.9, 0.9, -0.9])
    moved = rebuild_loop(put(model, wrong), view, 3)
    carbon = model.views[view].atoms["CA"]
    assert np.linalg.norm(moved.xyz[carbon] - model.xyz[carbon]) < 0.6
    with pytest.raises(InputError, match="3 to 9"):
        rebuild_loop(model, view, 2)
    with pytest.raises(InputError, match="too near an end"):
        rebuild_loop(model, model.find("A", "1"), 3)


def test_residues_that_are_not_there(model: HandModel) -> None:
    with pytest.raises(InputError, match="Z 9: no such residue"):
        model.find("Z", "9")
    with pytest.raises(InputError, match="expected residue, zone"):
        zone_atoms(model, 0, "everything")
