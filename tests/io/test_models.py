"""Reading models: parameters, and every model that cannot be refined is refused with atom and place."""

import gzip
from pathlib import Path

import gemmi
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.io.diffraction_files import CELL, PDB, write_pdb

from burnish.core.errors import BurnishError, DataError, InputError
from burnish.data.reflections import Crystal
from burnish.io.models import agree_on_crystal, atoms_of, read_model, with_atoms

ATOMS = PDB[PDB.index("ATOM") : PDB.index("END")]
CIF = gemmi.read_pdb_string(PDB).make_mmcif_document().as_string()


def test_parameters_of_a_pdb_file(tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb"))
    atoms = model.atoms
    assert atoms.elements == ("N", "C", "C", "O", "O", "O")
    assert atoms.altloc == ("", "", "", "", "A", "B")
    assert atoms.residue.tolist() == [0, 0, 0, 0, 1, 1]
    assert atoms.xyz[1].tolist() == [11.45, 10.0, 10.0]
    assert atoms.occ.tolist() == pytest.approx([1, 1, 1, 1, 0.6, 0.4])
    assert not atoms.is_aniso.any()
    assert model.crystal == Crystal(cell=CELL, space_group="P 21 21 21")


def test_mmcif_and_pdb_give_the_same_atoms(tmp_path):
    path = tmp_path / "a.cif"
    path.write_text(CIF)
    one, two = read_model(path), read_model(write_pdb(tmp_path / "a.pdb"))
    assert torch.equal(one.atoms.xyz, two.atoms.xyz)
    assert one.atoms.elements == two.atoms.elements and one.document is not None and two.document is None


def test_gzip_and_content_decide(tmp_path):
    path = tmp_path / "model.pdb.gz"  # mmCIF inside
    path.write_bytes(gzip.compress(CIF.encode()))
    assert len(read_model(path).atoms) == 6


def test_anisotropic_atoms_round_trip(tmp_path):
    aniso = "ANISOU    1  N   GLY A   1     2000   3000   4000    100   -200    300       N\n"
    lines = PDB.splitlines(keepends=True)
    model = read_model(write_pdb(tmp_path / "a.pdb", "".join([*lines[:2], aniso, *lines[2:]])))
    assert model.atoms.is_aniso.tolist() == [True] + [False] * 5
    assert model.atoms.u_aniso[0].tolist() == pytest.approx([0.2, 0.3, 0.4, 0.01, -0.02, 0.03], abs=1e-6)
    assert float(model.atoms.b_iso[0]) == pytest.approx(8 * torch.pi**2 * 0.3, rel=1e-5)
    again = atoms_of(with_atoms(model.structure, model.atoms))
    assert torch.allclose(again.u_aniso, model.atoms.u_aniso, atol=1e-7)


def test_with_atoms_leaves_the_structure_alone(tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb"))
    before = model.structure.make_pdb_string()
    moved = with_atoms(model.structure, atoms_of(model.structure))
    moved[0][0][0][0].pos = gemmi.Position(0, 0, 0)
    assert model.structure.make_pdb_string() == before
    with pytest.raises(ValueError, match="6 atoms for a structure of 5"):
        del moved[0][0][0][0]
        with_atoms(moved, model.atoms)


FAULTS = {
    "coordinate": ("12.000  11.420", "12.000     nan", r"line 4 \(atom C   GLY A   1\): y is nan, expected a number"),
    "coordinate stars": ("12.000  11.420", "12.000  ******", "y is .*, expected a number"),
    "B": ("1.00 20.00           N", "1.00   inf           N", "line 2 .*: B is inf"),
    "negative occupancy": (
        "1.00 20.00           N",
        "-0.5020.00           N",
        "atom A 1 GLY N: occupancy -0.5, expected 0 to",
    ),
    "occupancy": (
        "1.00 20.00           N",
        "2.50 20.00           N",
        r"atom A 1 GLY N: occupancy 2.5, expected 0 to 1",
    ),
    "duplicate": ("ATOM      2  CA  GLY", "ATOM      2  N   GLY", "atom A 1 GLY N is there twice"),
    "same conformer": ("BHOH", "AHOH", "atom A 101 HOH O A is there twice"),
    "on top": (
        "11.450  10.000  10.000",
        "10.000  10.000  10.100",
        r"atoms A 1 GLY N and A 1 GLY CA lie on top of each other \(0.10 Å, occupancies 1 and 1\)",
    ),
    "element": ("1.00 20.00           N", "1.00 20.00           X", "unknown element"),
    "group": ("P 21 21 21", "P 21 99 21", "unknown space group 'P 21 99 21'"),
    "cell": ("90.00  90.00  90.00", "90.00  97.00  90.00", "does not have the symmetry of P 21 21 21"),
    "no atoms": (ATOMS, "", "the model is empty"),
    "models": (ATOMS, f"MODEL        1\n{ATOMS}ENDMDL\nMODEL        2\n{ATOMS}ENDMDL\n", "2 models in one file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_models(fault, tmp_path):
    old, new, message = FAULTS[fault]
    assert old in PDB
    with pytest.raises(DataError, match=message):
        read_model(write_pdb(tmp_path / "a.pdb", PDB.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("11.45", "nan", r"row 2 of _atom_site: Cartn_x is nan, expected a number"),
        ("11.45", "?", "Cartn_x is \\?"),
        ("_atom_site.id", "_atom_site.nr", "no atoms"),
        ("loop_", "loop_ loop_", "damaged mmCIF"),
    ],
)
def test_faulty_mmcif(old, new, message, tmp_path):
    path = tmp_path / "a.cif"
    assert old in CIF
    path.write_text(CIF.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_model(path)


def test_a_model_without_scattering_is_refused(tmp_path):
    lines = [f"{x[:54]}  0.00{x[60:]}" if x.startswith(("ATOM", "HETATM")) else x for x in PDB.splitlines()]
    with pytest.raises(DataError, match=r"a.pdb: every atom has occupancy 0"):
        read_model(write_pdb(tmp_path / "a.pdb", "\n".join(lines) + "\n"))


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "none.pdb")
    (tmp_path / "e.pdb").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_model(tmp_path / "e.pdb")


def test_occupancy_a_little_above_one_is_kept_with_a_warning(tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb", PDB.replace("1.00 20.00           N", "1.20 20.00           N")))
    assert [m.text for m in model.messages if m.level == "warning"] == [
        "a.pdb: 1 atom (A 1 GLY N) with occupancy above 1: kept"
    ]
    assert float(model.atoms.occ[0]) == pytest.approx(1.2)


def test_alternatives_may_lie_on_each_other(tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb", PDB.replace("20.500  20.000", "20.100  20.000")))
    assert len(model.atoms) == 6


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (
            Crystal(cell=(39.0, 40.37, 50.71, 90, 90, 90), space_group="P 21 21 21"),
            r"differs by 22.* from that of d.mtz",
        ),
        (
            Crystal(cell=CELL, space_group="P 21 21 2"),
            "space group P 21 21 21, but d.mtz has P 21 21 2 .same point group",
        ),
        (Crystal(cell=CELL, space_group="P 1 21 1"), "space group P 21 21 21, but d.mtz has P 1 21 1;"),
    ],
)
def test_other_crystals_are_refused(crystal, message, tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb"))
    with pytest.raises(DataError, match=message):
        agree_on_crystal(model, crystal, Path("d.mtz"))


def test_small_differences_of_the_cell_are_told_and_the_data_win(tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb"))
    near = Crystal(cell=(30.3, 40.37, 50.71, 90, 90, 90), space_group="P 21 21 21")
    (message,) = agree_on_crystal(model, near, Path("d.mtz"))
    assert message.level == "warning" and "differs by 0.56%" in message.text
    assert agree_on_crystal(model, Crystal(cell=CELL, space_group="P 21 21 21"), Path("d.mtz")) == ()
    bare = read_model(write_pdb(tmp_path / "b.pdb", PDB[PDB.index("ATOM") :]))
    assert bare.crystal is None and "has no cell" in agree_on_crystal(bare, near, Path("d.mtz"))[0].text


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.characters(codec="latin-1")), min_size=1, max_size=12),
    cif=st.booleans(),
)
def test_damaged_text_is_read_or_refused_in_one_line(edits, cif, tmp_path):
    text = list(CIF if cif else PDB)
    for place, character in edits:
        text[place % len(text)] = character
    path = tmp_path / "a.txt"
    path.write_bytes("".join(text).encode("latin-1"))
    try:
        read_model(path)
    except BurnishError as error:
        assert "\n" not in str(error)


def without_columns(text: str, *names: str) -> str:
    document = gemmi.cif.read_string(text)
    loop = document.sole_block().find_loop("_atom_site.id").get_loop()
    for name in names:
        loop.remove_column("_atom_site." + name)
    return str(document.as_string())


def test_waters_without_author_numbers_are_told_apart(tmp_path):
    line = "HETATM{0:5d}  O   HOH A{1:4d}    {2:8.3f}  10.000  10.000  1.00 20.00           O\n"
    waters = "".join(line.format(90 + i, 200 + i, 20.0 + 4 * i) for i in range(3))
    structure = gemmi.read_pdb_string(PDB[: PDB.index("END")] + waters + "END\n")
    structure.setup_entities()
    path = tmp_path / "a.cif"
    path.write_text(without_columns(structure.make_mmcif_document().as_string(), "auth_seq_id"))
    model = read_model(path)
    waters = [str(r.seqid) for c in model.structure[0] for r in c if r.name == "HOH"]
    assert len(waters) == len(set(waters)) == 3
    assert len(model.atoms) == 9
    assert any("no auth_seq_id" in m.text for m in model.messages)


def test_a_polymer_without_author_numbers_keeps_its_own(tmp_path):
    document = gemmi.cif.read_string(CIF)
    column = document.sole_block().find_loop("_atom_site.label_seq_id")
    for row, number in enumerate(document.sole_block().find_loop("_atom_site.auth_seq_id")):
        column[row] = number
    path = tmp_path / "a.cif"
    path.write_text(without_columns(document.as_string(), "auth_seq_id"))
    model = read_model(path)
    assert [str(r.seqid) for c in model.structure[0] for r in c] == ["1", "101"]
    assert not model.messages


def test_a_water_on_another_water_is_left_out_and_named(tmp_path):
    line = "HETATM{0:5d}  O   HOH {1}{2:4d}    {3:8.3f}  10.000  10.000  1.00 20.00           O\n"
    places = (("A", 201, 20.0), ("A", 202, 24.0), ("B", 201, 20.02))
    waters = "".join(line.format(90 + i, *place) for i, place in enumerate(places))
    model = read_model(write_pdb(tmp_path / "a.pdb", PDB[: PDB.index("END")] + waters + "END\n"))
    assert [m.text for m in model.messages] == ["a.pdb: 1 water (B 201 HOH) left out: on top of another water"]
    assert [c.name for c in model.structure[0]] == ["A"] and len(model.atoms) == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"MTZ \x15\x00\x00\x00", "holds reflections .MTZ., expected a model"), (bytes(208) + b"MAP ", "holds a map")],
)
def test_another_kind_of_file_is_named(tmp_path, content, said):
    path = tmp_path / "given"
    path.write_bytes(content + bytes(800))
    with pytest.raises(DataError, match=said):
        read_model(path)
