"""Where dictionaries come from, which one wins, and what is said when none does."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.chemistry.checks import check_atoms
from burnish.chemistry.library import OWN_LIBRARY, monomer_path, read_library
from burnish.core.errors import DataError, InputError
from chemistry_models import component, peptide, residue, structure


def distance(comp: gemmi.ChemComp, first: str, second: str) -> float:
    return comp.rt.get_bond(first, second).value


def angle(comp: gemmi.ChemComp, first: str, vertex: str, last: str) -> float:
    for entry in comp.rt.angles:
        if entry.id2.atom == vertex and {entry.id1.atom, entry.id3.atom} == {first, last}:
            return entry.value
    raise AssertionError(f"no angle {first}-{vertex}-{last} in {comp.name}")


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("ALA", "CA", "CB", 1.520),  # Engh & Huber 2001
        ("ARG", "CZ", "NH1", 1.326),
        ("PRO", "N", "CA", 1.468),
        ("TRP", "CD2", "CE2", 1.409),
        ("MSE", "CG", "SE", 1.950),
        ("DG", "C6", "O6", 1.237),  # Parkinson 1996
        ("U", "C4", "C5", 1.431),
        ("A", "C2'", "O2'", 1.416),
    ],
)
def test_published_bonds(name, first, second, expected):
    assert distance(component(name), first, second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "atoms", "expected"),
    [("VAL", ("N", "CA", "C"), 111.0), ("GLY", ("N", "CA", "C"), 113.1), ("DA", ("N1", "C2", "N3"), 129.3)],
)
def test_published_angles(name, atoms, expected):
    assert angle(component(name), *atoms) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["HIS", "PHE", "TRP", "TYR", "A", "C", "G", "U", "DT"])
def test_angles_of_flat_rings_add_up(name):
    comp = component(name)
    heavy = [atom.id for atom in comp.atoms if not atom.is_hydrogen()]
    bonded = {frozenset((bond.id1.atom, bond.id2.atom)) for bond in comp.rt.bonds}
    around = {a: [b for b in heavy if frozenset((a, b)) in bonded] for a in heavy}

    def rings(path):
        for step in around[path[-1]]:
            if step == path[0] and len(path) in (5, 6):
                yield path
            elif step not in path and len(path) < 6:
                yield from rings([*path, step])

    flat = [set(p) for p in ([m.atom for m in plane.ids] for plane in comp.rt.planes)]
    seen = set()
    for start in heavy:
        for ring in rings([start]):
            if frozenset(ring) in seen or not any(set(ring) <= plane for plane in flat):
                continue
            seen.add(frozenset(ring))
            n = len(ring)
            total = sum(angle(comp, ring[k - 1], ring[k], ring[(k + 1) % n]) for k in range(n))
            assert total == pytest.approx(180.0 * (n - 2), abs=0.9), ring
    assert seen


def test_every_own_component_can_be_read_and_names_its_source():
    names = sorted(path.stem for path in OWN_LIBRARY.glob("?/*.cif"))
    assert len(names) > 150
    library = read_library(names, environment={}, debian=None)
    known_types = set(library.monlib.ener_lib.atoms)
    for name in names:
        comp = library.monlib.monomers[name]
        assert {atom.chem_type for atom in comp.atoms} <= known_types, name
        for bond in comp.rt.bonds:
            assert 0.7 < bond.value < 2.6 and bond.esd > 0, (name, bond.id1.atom, bond.id2.atom)
        text = monomer_path(OWN_LIBRARY, name).read_text()
        assert "_burnish_source.details" in text


def test_links_and_their_modifications_exist():
    monlib = read_library(["ALA"], environment={}, debian=None).monlib
    for link in monlib.links.values():
        for side in (link.side1, link.side2):
            assert not side.mod or side.mod in monlib.modifications, link.id


def test_hands_of_anomers_follow_from_their_names():
    # O1 axial in α, equatorial in β-D: mirror images at C1 but not at C5
    def sign(name, centre):
        (found,) = [c for c in component(name).rt.chirs if c.id_ctr.atom == centre]
        return found.sign

    assert sign("MAN", "C1") != sign("BMA", "C1")
    assert sign("MAN", "C5") == sign("BMA", "C5")


def test_user_dictionary_wins(tmp_path):
    path = tmp_path / "mine.cif"
    text = monomer_path(OWN_LIBRARY, "GOL").read_text()
    document = gemmi.cif.read_string(text)
    table = document["comp_GOL"].find("_chem_comp_bond.", ["atom_id_1", "atom_id_2", "value_dist"])
    for row in table:
        row[2] = "1.999"
    document.write_file(str(path))
    library = read_library(["GOL", "ALA"], ligands=[path], environment={}, debian=None)
    assert library.sources["GOL"] == str(path)
    assert {bond.value for bond in library.monlib.monomers["GOL"].rt.bonds} == {1.999}
    assert library.sources["ALA"].startswith("own library")


def test_full_library_goes_before_the_own_one(tmp_path):
    for part in ("list/mon_lib_list.cif", "ener_lib.cif", "a/ALA.cif"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_text((OWN_LIBRARY / part).read_text())
    library = read_library(["ALA", "GLY"], environment={"CLIBD_MON": str(tmp_path)}, debian=None)
    assert library.sources["ALA"].startswith("monomer library")
    assert library.sources["GLY"].startswith("own library")


def test_debian_serves_what_the_own_library_lacks(tmp_path):
    (tmp_path / "z").mkdir()
    text = monomer_path(OWN_LIBRARY, "GOL").read_text().replace("GOL", "ZZ1")
    (tmp_path / "z" / "ZZ1.cif").write_text(text)
    library = read_library(["ZZ1"], environment={}, debian=tmp_path)
    assert library.sources["ZZ1"].startswith("Debian")


def test_file_that_only_draws_a_component(tmp_path):
    """Acetone in the format of the chemical component dictionary: bonds with orders, but without lengths."""
    pytest.importorskip("rdkit")
    path = tmp_path / "drawn.cif"
    atoms = {"C1": "C -1.3 0.7 0.0", "C2": "C 0.0 0.0 0.0", "C3": "C 1.3 0.7 0.0", "O": "O 0.0 -1.2 0.0"}
    atoms |= {"H11": "H -1.3 1.35 -0.88", "H12": "H -1.3 1.35 0.88", "H13": "H -2.15 0.01 0.0"}
    atoms |= {"H31": "H 1.3 1.35 -0.88", "H32": "H 1.3 1.35 0.88", "H33": "H 2.15 0.01 0.0"}
    bonds = "C1 C2 SING;C2 C3 SING;C2 O DOUB;C1 H11 SING;C1 H12 SING;C1 H13 SING;C3 H31 SING;C3 H32 SING;C3 H33 SING"
    lines = ["data_QQ1", "loop_", *(f"_chem_comp_atom.{tag}" for tag in ("atom_id", "type_symbol"))]
    lines += [f"_chem_comp_atom.model_Cartn_{axis}" for axis in "xyz"]
    lines += [f"{name} {rest}" for name, rest in atoms.items()]
    lines += ["loop_", *(f"_chem_comp_bond.{tag}" for tag in ("atom_id_1", "atom_id_2", "value_order"))]
    path.write_text("\n".join([*lines, *bonds.split(";"), ""]))
    library = read_library(["QQ1"], ligands=[path], environment={}, debian=None)
    comp = library.monlib.monomers["QQ1"]
    assert distance(comp, "C2", "O") == pytest.approx(1.22, abs=0.02)
    assert distance(comp, "C1", "C2") == pytest.approx(1.51, abs=0.02)
    assert "no bond lengths" in library.messages[0]


def test_folder_that_is_no_library(tmp_path):
    with pytest.raises(InputError, match=r"--monomers.*list/mon_lib_list\.cif"):
        read_library(["ALA"], monomers=tmp_path, environment={})


def test_missing_and_wrong_ligand_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_library(["ALA"], ligands=[tmp_path / "none.cif"], environment={})
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\nloop_\n_a.b\n")
    with pytest.raises(InputError, match=r"bad\.cif"):
        read_library(["ALA"], ligands=[bad], environment={})
    plain = tmp_path / "plain.cif"
    plain.write_text("data_x\n_cell.length_a 10\n")
    with pytest.raises(InputError, match="no restraint dictionary"):
        read_library(["ALA"], ligands=[plain], environment={})


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_damaged_dictionaries_are_used_or_refused_with_one_line(tmp_path, random):
    pytest.importorskip("rdkit")
    lines = monomer_path(OWN_LIBRARY, "EDO").read_text().splitlines()
    kind = random.randrange(3)
    if kind == 0:
        del lines[random.randrange(len(lines)) :]
    for _ in range(random.randint(1, 4)):
        row = random.randrange(len(lines)) if lines else 0
        words = lines[row].split() if lines else []
        if words and kind == 1:
            words[random.randrange(len(words))] = random.choice(["?", ".", "nan", "1e400", "-5", "xx", "''"])
            lines[row] = " ".join(words)
        elif lines and kind == 2:
            del lines[row]
    path = tmp_path / "damaged.cif"
    path.write_text("\n".join(lines))
    try:
        comp = read_library(["EDO"], ligands=[path], environment={}, debian=None).monlib.monomers["EDO"]
    except (InputError, DataError) as error:
        assert "\n" not in str(error)
    else:
        assert all(bond.value > 0 for bond in comp.rt.bonds)


def test_component_that_nobody_knows():
    pytest.importorskip("rdkit")
    with pytest.raises(DataError, match=r"Q7\$.*--ligand"):
        read_library(["ALA", "Q7$"], environment={}, debian=None)


def test_component_from_the_chemical_component_dictionary():
    pytest.importorskip("rdkit")
    pytest.importorskip("biotite")
    library = read_library(["NUT"], environment={}, debian=None)
    assert "wide sigmas" in library.messages[0]
    comp = library.monlib.monomers["NUT"]
    assert all(bond.value == bond.value for bond in comp.rt.bonds)
    assert len(comp.rt.planes) > 2


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("DAL", gemmi.ChemComp.Group.Peptide),
        ("CSX", gemmi.ChemComp.Group.Peptide),
        ("5MC", gemmi.ChemComp.Group.Rna),
        ("A2G", gemmi.ChemComp.Group.Pyranose),
        ("NUT", gemmi.ChemComp.Group.NonPolymer),
    ],
)
def test_made_components_join_the_links_of_their_kind(name, group):
    pytest.importorskip("rdkit")
    pytest.importorskip("biotite")
    assert read_library([name], environment={}, debian=None).monlib.monomers[name].group == group


def test_component_from_smiles():
    pytest.importorskip("rdkit")
    library = read_library(["LIG"], environment={}, debian=None, smiles={"LIG": "CC(=O)Nc1ccc(O)cc1"})
    comp = library.monlib.monomers["LIG"]
    assert distance(comp, "C2", "N1") == pytest.approx(1.334)
    with pytest.raises(DataError, match="SMILES"):
        read_library(["LIG"], environment={}, debian=None, smiles={"LIG": "not a molecule"})


def test_smiles_win_over_a_library_where_the_name_is_another_molecule():
    library = read_library(["ATP"], environment={}, debian=None, smiles={"ATP": "CC(=O)Nc1ccc(O)cc1"})
    assert library.sources == {"ATP": "SMILES"}
    assert sum(not a.is_hydrogen() for a in library.monlib.monomers["ATP"].atoms) == 11
    assert "ATP: its restraints were made from SMILES" in library.messages[0]


def test_component_from_smiles_takes_the_names_of_the_model():
    """Glycerol under other names; where an atom is not in the model, it gets a name of its own."""
    pytest.importorskip("rdkit")
    drawn = residue("GOL", 1)
    drawn.name = "QQ2"
    names = {"C1": "CX1", "O1": "OX1", "C2": "CX2", "O2": "OX2", "C3": "CX3", "O3": "OX3"}
    for atom in drawn:
        atom.name = names[atom.name]
    library = read_library(["QQ2"], environment={}, debian=None, smiles={"QQ2": "OCC(O)CO"}, examples={"QQ2": drawn})
    comp = library.monlib.monomers["QQ2"]
    assert {atom.id for atom in comp.atoms if not atom.is_hydrogen()} == set(names.values())
    assert {frozenset((b.id1.atom, b.id2.atom)) for b in comp.rt.bonds} >= {
        frozenset(pair) for pair in (("CX1", "OX1"), ("CX1", "CX2"), ("CX2", "OX2"), ("CX2", "CX3"), ("CX3", "OX3"))
    }
    drawn.remove_atom("OX3", "\0", gemmi.Element("O"))
    partial = read_library(["QQ2"], environment={}, debian=None, smiles={"QQ2": "OCC(O)CO"}, examples={"QQ2": drawn})
    assert len(partial.monlib.monomers["QQ2"].atoms) == len(comp.atoms)
    with pytest.raises(DataError, match="not bonded as in the SMILES"):
        read_library(["QQ2"], environment={}, debian=None, smiles={"QQ2": "CCO"}, examples={"QQ2": drawn})


def test_names_from_a_model_keep_the_hand():
    pytest.importorskip("rdkit")
    serine = residue("SER", 1)
    serine.name = "QQ3"
    for smiles, same in (("N[C@@H](CO)C(=O)O", True), ("N[C@H](CO)C(=O)O", False)):
        library = read_library(["QQ3"], environment={}, debian=None, smiles={"QQ3": smiles}, examples={"QQ3": serine})
        (made,) = library.monlib.monomers["QQ3"].rt.chirs
        place = {atom.name: np.array(atom.pos.tolist()) for atom in serine}
        ids = (made.id1.atom, made.id2.atom, made.id3.atom)
        volume = np.linalg.det(np.stack([place[k] for k in ids]) - place[made.id_ctr.atom])
        assert bool((volume > 0) == (made.sign == gemmi.ChiralityType.Positive)) == same


def test_misnamed_and_doubled_atoms_are_named():
    model = peptide(["ALA", "SER"])
    monlib = read_library(["ALA", "SER"], environment={}, debian=None).monlib
    check_atoms(Path("model.cif"), model, monlib)
    model[0]["A"][1].find_atom("OG", "*").name = "OX9"
    with pytest.raises(DataError, match=r"model.cif: 1 atom misnamed: A/SER 2/OX9; the dictionary of SER has"):
        check_atoms(Path("model.cif"), model, monlib)
    model[0]["A"][1].find_atom("OX9", "*").name = "O1P"
    with pytest.raises(DataError, match="O1P is now OP1"):
        check_atoms(Path("model.cif"), model, monlib)
    model[0]["A"][1].find_atom("O1P", "*").name = "CB"
    with pytest.raises(DataError, match=r"more than once: A/SER 2/CB"):
        check_atoms(Path("model.cif"), model, monlib)


def test_water_and_ions_need_no_bonds():
    model = structure({"W": [residue("HOH", 1), residue("ZN", 2, (9.0, 0.0, 0.0))]})
    monlib = read_library(["HOH", "ZN"], environment={}, debian=None).monlib
    check_atoms(Path("model.cif"), model, monlib)


@pytest.mark.shared
def test_full_library_and_own_library_agree_on_real_models(shared_data):
    import os

    from burnish.chemistry.topology import build_topology

    if not os.environ.get("CLIBD_MON"):
        pytest.skip("CLIBD_MON names no monomer library")
    model = gemmi.read_structure(str(Path(shared_data) / "mx" / "rnase_tutorial" / "model.cif"))
    names = model[0].get_all_residue_names()
    counts = []
    for environment in ({}, dict(os.environ)):
        restraints = build_topology(model, read_library(names, environment=environment).monlib).restraints
        counts.append([len(restraints.bonds), len(restraints.angles), len(restraints.chirals), len(restraints.planes)])
    assert counts[0] == counts[1]
    assert counts[0][:2] == [2807, 5066]  # as Servalcat 0.4.142 counts: 1501 + 1306 bonds, 2053 + 3013 angles
