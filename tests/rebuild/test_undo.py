"""Moves taken back: the model is as it was before them, whatever they did."""

import gemmi
import numpy as np
import pytest

from burnish.chemistry.add_residues import make_residue, with_residue
from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms
from burnish.rebuild.atom_rows import difference, rows_of
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.undo import Recorded, take_back, with_removed_atoms
from peptide_model import make_peptide, positions

MODEL, _ = with_waters(
    make_peptide(["ALA", "SER", "ALA"], -62.0, -42.0), [(9.0, 2.0, 3.0), (4.0, 9.0, 6.0)], [20.0, 30.0]
)


def same(one: gemmi.Structure, two: gemmi.Structure) -> None:
    first, second = ({r.name: r for r in rows_of(s)} for s in (one, two))
    assert first.keys() == second.keys()
    for name, row in first.items():
        assert row.xyz == pytest.approx(second[name].xyz)
        assert (row.element, row.hetero) == (second[name].element, second[name].hetero)
        assert (row.b_iso, row.occ) == pytest.approx((second[name].b_iso, second[name].occ))


def recorded(before: gemmi.Structure, after: gemmi.Structure) -> Recorded:
    added, removed = difference(before, after)
    return Recorded(added=added, removed=removed, moved=())


def test_atoms_that_moved_go_back():
    xyz = positions(MODEL).numpy()
    moved = with_positions(MODEL, xyz + 1.0)
    names = [row.name for row in rows_of(MODEL)]
    back = tuple((n, (float(x), float(y), float(z))) for n, (x, y, z) in zip(names, xyz, strict=True))
    model, lost = take_back(moved, [Recorded(added=(), removed=(), moved=back)])
    same(model, MODEL)
    assert lost == ()


def test_a_residue_that_came_goes_and_waters_that_went_return():
    room = without_atoms(MODEL, {15})  # a water
    residue = make_residue("SO4", ["S", "O1"], ["S", "O"], np.array([[9.0, 9.0, 9.0], [10.4, 9.0, 9.0]]), 25.0)
    grown, label = with_residue(room, residue, "A")
    assert label == "A 4 SO4"
    move = recorded(MODEL, grown)
    assert len(move.added) == 2
    assert [r.name for r in move.removed] == ["W 1 HOH O"]
    model, _ = take_back(grown, [move])
    same(model, MODEL)
    assert [r.seqid.num for r in model[0]["W"]] == [1, 2]


def test_moves_are_taken_back_from_the_last_to_the_first():
    first = without_atoms(MODEL, {4})
    second = without_atoms(first, {8})
    model, _ = take_back(second, [recorded(MODEL, first), recorded(first, second)])
    same(model, MODEL)


def test_alternate_conformers_become_one():
    split = MODEL.clone()
    residue = split[0]["A"][1]
    atom = residue["CB"][0].clone()
    residue.remove_atom("CB", "\0", gemmi.Element("C"))
    for letter in "AB":
        copy = atom.clone()
        copy.altloc, copy.occ = letter, 0.5
        residue.add_atom(copy)
    move = recorded(MODEL, split)
    assert move.added == ("A 2 SER CB A", "A 2 SER CB B")
    model, _ = take_back(split, [move])
    same(model, MODEL)


def test_hydrogens_of_touched_residues_are_left_out_and_the_rest_stays():
    hydrogenated = MODEL.clone()
    for residue in hydrogenated[0]["A"]:
        atom = residue["CA"][0].clone()
        atom.name, atom.element = "HA", gemmi.Element("H")
        residue.add_atom(atom)
    move = Recorded(added=(), removed=(), moved=(("A 2 SER CB", (0.0, 0.0, 0.0)),))
    model, _ = take_back(hydrogenated, [move])
    assert [len([a for a in r if a.is_hydrogen()]) for r in model[0]["A"]] == [1, 0, 1]


def test_what_is_not_there_is_told():
    _, lost = take_back(MODEL, [Recorded(added=("A 77 GOL C1",), removed=(), moved=(("A 9 LEU CA", (0.0, 0.0, 0.0)),))])
    assert lost == ("A 9 LEU CA",)


def test_a_water_is_put_back_from_its_place_alone():
    gone = without_atoms(MODEL, {15})
    model, _ = take_back(gone, [Recorded(added=(), removed=(), moved=(("W 1 HOH O", (9.0, 2.0, 3.0)),))])
    assert {r.name for r in rows_of(model)} == {r.name for r in rows_of(MODEL)}


def test_links_to_what_goes_go_too():
    from burnish.chemistry.add_residues import with_link

    residue = make_residue("NAG", ["C1"], ["C"], np.array([[9.0, 9.0, 9.0]]), 25.0)
    grown, label = with_residue(MODEL, residue, "A")
    with_link(grown, "A 2 SER CB", f"{label} C1", gemmi.ConnectionType.Covale)
    assert len(grown.connections) == 1
    model, _ = take_back(grown, [recorded(MODEL, grown)])
    assert len(model.connections) == 0


def test_records_learn_what_went():
    gone = without_atoms(MODEL, {15})
    record = MoveRecord(
        kind="water dropped",
        residue="W 1 HOH",
        why="",
        accepted=True,
        reason="",
        before=None,
        after=None,
        undo=(("W 1 HOH O", (9.0, 2.0, 3.0)),),
    )
    (completed,) = with_removed_atoms([record], MODEL, gone)
    assert [(r.name, r.b_iso) for r in completed.removed] == [("W 1 HOH O", pytest.approx(20.0))]
    assert with_removed_atoms([completed], MODEL, gone) == (completed,)
