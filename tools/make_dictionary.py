"""Write the project's own monomer library (src/burnish/chemistry/library) from published values.

    python tools/make_dictionary.py [--check]

Connectivity, names, charges and hands come from the chemical component dictionary (public domain, by way of biotite);
target values from the tables in tools/dictionary, each with its source; what no table covers from MMFF94s. The output
is committed; users never run this. `--check` only says whether the committed files are up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import gemmi
from dictionary import amino_acids, energy_types, links, nucleotides, others
from rdkit import Chem

from burnish.chemistry.component import (
    AngleEntry,
    AtomEntry,
    BondEntry,
    ChiralEntry,
    Component,
    PlaneEntry,
    TorsionEntry,
    component_document,
)
from burnish.chemistry.ligands import molecule_from_components, with_ammonium
from burnish.chemistry.perception import perceive

TARGET = Path(__file__).resolve().parents[1] / "src" / "burnish" / "chemistry" / "library"

MIN_BOND_SIGMA, MIN_ANGLE_SIGMA = 0.008, 1.0
MAX_BOND_SIGMA, MAX_ANGLE_SIGMA = 0.02, 3.0


def rows(text: str) -> Iterator[tuple[tuple[str, ...], list[float]]]:
    """Atoms and numbers of each row of a table."""
    for row in text.split(";") if text else []:
        atoms, *numbers = row.split()
        yield tuple(atoms.split("-")), [float(number) for number in numbers]


def set_bonds(component: Component, text: str, factor: float) -> None:
    known = {frozenset(bond.atoms): bond for bond in component.bonds}
    for atoms, (value, sigma) in rows(text):
        bond = known.get(frozenset(atoms))
        if bond is not None:
            bond.value = bond.nucleus = value
            bond.sigma = bond.nucleus_sigma = min(max(sigma * factor, MIN_BOND_SIGMA), MAX_BOND_SIGMA)


def set_angles(component: Component, text: str) -> None:
    known = {(angle.atoms[1], frozenset((angle.atoms[0], angle.atoms[2]))): angle for angle in component.angles}
    for atoms, (value, sigma) in rows(text):
        angle = known.get((atoms[1], frozenset((atoms[0], atoms[2]))))
        if angle is not None:
            angle.value, angle.sigma = value, min(max(sigma, MIN_ANGLE_SIGMA), MAX_ANGLE_SIGMA)


def hydrogens_of(component: Component) -> set[str]:
    return {atom.name for atom in component.atoms if atom.element in ("H", "D")}


def set_torsions(component: Component, text: str) -> None:
    """Replace the torsions between heavy atoms by named ones; those of hydrogens stay, to place them."""
    hydrogens = hydrogens_of(component)
    kept = [torsion for torsion in component.torsions if set(torsion.atoms) & hydrogens]
    named = []
    for row in text.split(";") if text else []:
        label, atoms, value, sigma, period = row.split()
        first, second, third, fourth = atoms.split("-")
        named.append(TorsionEntry(label, (first, second, third, fourth), float(value), float(sigma), int(period)))
    component.torsions = named + [
        TorsionEntry(f"hyd_{number}", torsion.atoms, torsion.value, torsion.sigma, torsion.period)
        for number, torsion in enumerate(kept, start=1)
    ]


def without_atoms(molecule: Chem.Mol, names: set[str]) -> Chem.Mol:
    editable = Chem.RWMol(molecule)
    for atom in sorted(editable.GetAtoms(), key=lambda atom: -atom.GetIdx()):
        if atom.GetProp("name") in names:
            editable.RemoveAtom(atom.GetIdx())
    reduced = editable.GetMol()
    Chem.SanitizeMol(reduced, catchErrors=True)
    return reduced


def add_prochiral(component: Component, centre: str, neighbours: tuple[str, str, str]) -> None:
    places = {atom.name: atom.xyz for atom in component.atoms}
    origin, *ends = (gemmi.Position(*places[name]) for name in (centre, *neighbours))
    a, b, c = (end - origin for end in ends)
    sign = "positive" if a.dot(b.cross(c)) > 0 else "negative"
    component.chirals.append(ChiralEntry(centre, neighbours, sign))


def amino_acid(name: str) -> tuple[Component, list[str]]:
    molecule, title = molecule_from_components(name)
    imino = name in ("PRO", "HYP")
    lactam = name == "PCA"  # its N is an amide already
    molecule = molecule if lactam else with_ammonium(molecule)
    component = perceive(molecule, name, title, "P-peptide" if imino else "peptide")
    set_bonds(component, amino_acids.BACKBONE_BONDS, amino_acids.BOND_SIGMA_FACTOR)
    set_angles(component, amino_acids.BACKBONE_ANGLES)
    set_bonds(component, amino_acids.TERMINAL_BONDS, amino_acids.BOND_SIGMA_FACTOR)
    set_angles(component, amino_acids.TERMINAL_ANGLES)
    sources = [amino_acids.SOURCE, "hydrogens, and values that those tables lack: " + others.COMPUTED_SOURCE]
    similar = {"HYP": "PRO", "UNK": "ALA"}.get(name, name)
    if similar in amino_acids.BONDS:
        set_bonds(component, amino_acids.BONDS[similar], amino_acids.BOND_SIGMA_FACTOR)
        set_angles(component, amino_acids.ANGLES.get(similar, ""))
        if not imino:
            set_torsions(component, amino_acids.TORSIONS.get(name, ""))
    if name in amino_acids.PROCHIRAL:
        centre, *neighbours = amino_acids.PROCHIRAL[name]
        add_prochiral(component, centre, (neighbours[0], neighbours[1], neighbours[2]))
    return component, sources


def nucleotide(name: str) -> tuple[Component, list[str]]:
    base, ribose, atom = nucleotides.COMPONENTS[name]
    molecule, title = molecule_from_components(name)
    component = perceive(molecule, name, title, "RNA" if ribose else "DNA")
    set_bonds(component, nucleotides.PHOSPHATE_BONDS, 1.0)
    set_bonds(component, nucleotides.RIBOSE_BONDS if ribose else nucleotides.DEOXYRIBOSE_BONDS, 1.0)
    set_bonds(component, nucleotides.BASES_BONDS[base], 1.0)
    set_angles(component, nucleotides.PHOSPHATE_ANGLES)
    set_angles(component, nucleotides.RIBOSE_ANGLES if ribose else nucleotides.DEOXYRIBOSE_ANGLES)
    set_angles(component, nucleotides.GLYCOSIDIC_ANGLES.replace("{n}", atom))
    set_angles(component, nucleotides.BASES_ANGLES[base])
    return component, [nucleotides.SOURCE, "hydrogens: " + others.COMPUTED_SOURCE]


def sugar(name: str) -> tuple[Component, list[str]]:
    molecule, title = molecule_from_components(name)
    component = perceive(molecule, name, title, "ketopyranose" if name == "SIA" else "pyranose")
    anomer = others.PYRANOSES[name]
    ring = {"C1", "C2", "C3", "C4", "C5", "C6", "O1", "O2", "O3", "O4", "O5", "O6"}
    for bond in component.bonds if anomer else []:
        if not set(bond.atoms) <= ring:
            continue
        pair = "-".join(sorted(bond.atoms))
        kind = "-".join(sorted(label[0] for label in bond.atoms))
        value = {**others.PYRANOSE_BONDS, **others.ANOMERIC_BONDS[anomer]}.get(pair)
        bond.value = bond.nucleus = others.PYRANOSE_BONDS[kind] if value is None else value
        bond.sigma = bond.nucleus_sigma = others.PYRANOSE_BOND_SIGMA
    if anomer:
        text = "; ".join(f"{atoms} {value} 2.0" for atoms, value in others.ANOMERIC_ANGLES[anomer].items())
        set_angles(component, text)
    return component, [others.SUGAR_SOURCE]


def plain(name: str) -> tuple[Component, list[str]]:
    """A solvent, cap or cofactor: computed values, with published bonds where they are known to differ."""
    molecule, title = molecule_from_components(name)
    if name == "ACE":
        molecule = without_atoms(molecule, {"H"})
    component = perceive(molecule, name, title, "non-polymer")
    if name not in others.SMALL_BONDS:
        return component, [others.COMPUTED_SOURCE]
    text = "; ".join(f"{pair} {value} .02" for pair, value in others.SMALL_BONDS[name].items())
    set_bonds(component, text, 1.0)
    return component, [others.SMALL_SOURCE]


def cluster(name: str) -> tuple[Component, list[str]]:
    _, title = molecule_from_components(name)
    molecule, _ = molecule_from_components(name)
    places = molecule.GetConformer().GetPositions()
    irons, values = others.CLUSTERS[name]
    component = Component(name=name, title=title, group="non-polymer")
    for atom, place in zip(molecule.GetAtoms(), places, strict=True):
        label = atom.GetProp("name")
        element = "FE" if label.startswith("FE") else "S"
        component.atoms.append(AtomEntry(label, element, element, 0, tuple(float(x) for x in place)))
    value, sigma = values["bond"]
    bound: dict[str, list[str]] = {}
    for iron, sulphurs in irons:
        for sulphur in sulphurs.split():
            component.bonds.append(BondEntry((iron, sulphur), "single", False, value, sigma, value, sigma))
            bound.setdefault(iron, []).append(sulphur)
            bound.setdefault(sulphur, []).append(iron)
    for centre, around in bound.items():
        angle, spread = values["S-FE-S" if centre.startswith("FE") else "FE-S-FE"]
        for position, first in enumerate(around):
            for second in around[position + 1 :]:
                component.angles.append(AngleEntry((first, centre, second), angle, spread))
    return component, [others.CLUSTER_SOURCE]


def haem() -> tuple[Component, list[str]]:
    """Haem b; the angles between opposite nitrogens are left out, because they are straight."""
    molecule, title = molecule_from_components("HEM")
    component = perceive(molecule, "HEM", title, "non-polymer")
    bonds, angles = [others.HAEM_SIDE_BONDS], [others.HAEM_METHINE_ANGLES, others.HAEM_CIS, others.HAEM_SIDE_ANGLES]
    component.planes = [plane for plane in component.planes if not set(plane.atoms) & {"NA", "NB", "NC", "ND"}]
    bonded = {frozenset(bond.atoms) for bond in component.bonds}
    hydrogens = hydrogens_of(component)
    flat: list[PlaneEntry] = []
    for pyrrole, (before, after) in others.HAEM_METHINES.items():
        bonds.append(others.HAEM_BONDS.format(x=pyrrole, m=before, n=after))
        angles.append(others.HAEM_ANGLES.format(x=pyrrole, m=before, n=after))
        ring = [f"{name}{pyrrole}" for name in ("N", "C1", "C2", "C3", "C4")]
        around = [a.name for a in component.atoms for b in ring if frozenset((a.name, b)) in bonded]
        members = dict.fromkeys([*ring, *(name for name in around if name not in (*ring, "FE", *hydrogens))])
        flat.append(PlaneEntry(tuple(members)))
        flat.append(PlaneEntry((after, *(a.name for a in component.atoms if frozenset((a.name, after)) in bonded))))
    component.planes += flat
    for text in bonds:
        set_bonds(component, text, 1.0)
    for bond in component.bonds:
        bond.sigma = 0.04 if "FE" in bond.atoms else bond.sigma
    for text in angles:
        set_angles(component, text)
    opposite = ({"NA", "NC"}, {"NB", "ND"})
    component.angles = [a for a in component.angles if {a.atoms[0], a.atoms[2]} not in opposite]
    return component, [others.HAEM_SOURCE, "other values: coordinates of the chemical component dictionary"]


def ion(name: str) -> tuple[Component, list[str]]:
    element, charge = others.IONS[name]
    component = Component(name=name, title=f"{element.capitalize()} ion", group="non-polymer")
    label = {"IOD": "I", "FE2": "FE", "CU1": "CU"}.get(name, name)
    component.atoms.append(AtomEntry(label, element, element, charge, (0.0, 0.0, 0.0)))
    return component, ["a single atom"]


def water() -> tuple[Component, list[str]]:
    """Water; its O-H of .8 Å to electrons and .958 Å to nuclei, H-O-H 104.5° (gas phase, Benedict et al. 1956)."""
    component = Component(name="HOH", title="WATER", group="non-polymer")
    component.atoms = [
        AtomEntry("O", "O", "OH2", 0, (0.0, 0.0, 0.0)),
        AtomEntry("H1", "H", "H", 0, (0.757, 0.586, 0.0)),
        AtomEntry("H2", "H", "H", 0, (-0.757, 0.586, 0.0)),
    ]
    component.bonds = [BondEntry(("O", label), "single", False, 0.85, 0.02, 0.958, 0.01) for label in ("H1", "H2")]
    component.angles = [AngleEntry(("H1", "O", "H2"), 104.5, 3.0)]
    return component, ["Benedict et al. (1956), J. Chem. Phys. 24, 1139"]


def components() -> Iterator[tuple[Component, list[str]]]:
    for name in sorted(amino_acids.BONDS):
        yield amino_acid(name)
    for name in others.MODIFIED_AMINO_ACIDS:
        yield amino_acid(name)
    for name in nucleotides.COMPONENTS:
        yield nucleotide(name)
    for name in others.PYRANOSES:
        yield sugar(name)
    for name in (*others.SOLVENTS, *others.CAPS, *others.COFACTORS):
        if name not in others.PYRANOSES:
            yield plain(name)
    for name in others.CLUSTERS:
        yield cluster(name)
    for name in others.IONS:
        yield ion(name)
    yield haem()
    yield water()


def loop(block: gemmi.cif.Block, prefix: str, tags: str, table: list[list[object]]) -> None:
    if table:
        made = block.init_loop(prefix, tags.split())
        for row in table:
            made.add_row([gemmi.cif.quote(str(value)) if value != "." else "." for value in row])


def side(atom: str) -> list[str]:
    number, name = atom.split("/")
    return [number, name]


def link_block(document: gemmi.cif.Document, link: links.Link) -> None:
    block = document.add_new_block(f"link_{link.name}")
    name = link.name
    two = "link_id atom_1_comp_id atom_id_1 atom_2_comp_id atom_id_2"
    bonds = [[name, *side(a), *side(b), "single", *numbers] for (a, b), numbers in rows(link.bonds)]
    loop(block, "_chem_link_bond.", f"{two} type value_dist value_dist_esd", bonds)
    three = f"{two} atom_3_comp_id atom_id_3"
    angles = (
        [[name, *side(a), *side(b), *side(c), *numbers] for (a, b, c), numbers in rows(link.angles)]
        if link.angles
        else []
    )
    loop(block, "_chem_link_angle.", f"{three} value_angle value_angle_esd", angles)
    torsions: list[list[object]] = []
    for row in link.torsions.split(";") if link.torsions else []:
        label, atoms, *numbers = row.split()
        torsions.append([name, label, *(part for atom in atoms.split("-") for part in side(atom)), *numbers])
    four = two.replace("link_id", "link_id id") + " atom_3_comp_id atom_id_3 atom_4_comp_id atom_id_4"
    loop(block, "_chem_link_tor.", f"{four} value_angle value_angle_esd period", torsions)
    chirals = [
        [name, f"chir_{number}", *(part for atom in row.split()[:4] for part in side(atom)), row.split()[4]]
        for number, row in enumerate(link.chirals, start=1)
    ]
    centre = "link_id id atom_centre_comp_id atom_id_centre"
    ends = "atom_1_comp_id atom_id_1 atom_2_comp_id atom_id_2 atom_3_comp_id atom_id_3"
    loop(block, "_chem_link_chir.", f"{centre} {ends} volume_sign", chirals)
    planes = [
        [name, f"plan-{number}", *side(atom), 0.02]
        for number, row in enumerate(link.planes, start=1)
        for atom in row.split()
    ]
    loop(block, "_chem_link_plane.", "link_id plane_id atom_comp_id atom_id dist_esd", planes)


def modification_block(document: gemmi.cif.Document, mod: links.Modification) -> None:
    block = document.add_new_block(f"mod_{mod.name}")
    atoms: list[list[object]] = [[mod.name, "delete", atom, ".", ".", ".", "."] for atom in mod.delete.split()]
    atoms += [[mod.name, "change", atom, ".", element, energy, charge] for atom, element, energy, charge in mod.retype]
    tags = "mod_id function atom_id new_atom_id new_type_symbol new_type_energy new_charge"
    loop(block, "_chem_mod_atom.", tags, atoms)
    bonds = [[mod.name, "change", *pair, "single", *numbers] for pair, numbers in rows(mod.bonds)] if mod.bonds else []
    values = "new_value_dist new_value_dist_esd new_value_dist_nucleus new_value_dist_nucleus_esd"
    loop(block, "_chem_mod_bond.", f"mod_id function atom_id_1 atom_id_2 new_type {values}", bonds)
    angles = [[mod.name, "change", *three, *numbers] for three, numbers in rows(mod.angles)] if mod.angles else []
    tags = "mod_id function atom_id_1 atom_id_2 atom_id_3 new_value_angle new_value_angle_esd"
    loop(block, "_chem_mod_angle.", tags, angles)


def list_document() -> gemmi.cif.Document:
    document = gemmi.cif.Document()
    block = document.add_new_block("link_list")
    sides = "id comp_id_1 mod_id_1 group_comp_1 comp_id_2 mod_id_2 group_comp_2 name"
    table = [[link.name, *link.sides[0], *link.sides[1], link.name] for link in links.LINKS]
    loop(block, "_chem_link.", sides, table)
    block = document.add_new_block("mod_list")
    mods = [[mod.name, mod.name, mod.component, mod.group] for mod in links.MODIFICATIONS]
    loop(block, "_chem_mod.", "id name comp_id group_id", mods)
    for link in links.LINKS:
        link_block(document, link)
    for mod in links.MODIFICATIONS:
        modification_block(document, mod)
    return document


def energy_document() -> gemmi.cif.Document:
    united = {name: radius for radius, names in energy_types.UNITED.items() for name in names.split()}
    kinds = {name: name[0] for name in united} | dict.fromkeys(energy_types.HYDROGENS, "H") | energy_types.OTHER_TYPES
    elements = [gemmi.Element(number) for number in range(1, 99)]
    kinds |= {
        e.name.upper(): e.name.upper() for e in elements if e.name.upper() not in kinds and e.name not in "CNOSPH"
    }
    kinds["OSE"] = "OS"  # OS is an oxygen on sulphur
    roles = dict.fromkeys(energy_types.DONORS, "D") | dict.fromkeys(energy_types.ACCEPTORS, "A")
    roles |= dict.fromkeys(energy_types.BOTH, "B")
    table: list[list[object]] = []
    for name, symbol in kinds.items():
        element = gemmi.Element(symbol)
        radius = energy_types.VDW.get(symbol, round(element.vdw_r, 2))
        ionic = energy_types.IONIC.get(name, energy_types.LIGAND_RADII.get(symbol, "."))
        role = roles.get(name, "N")
        table.append([name, round(element.weight, 3), role, radius, united.get(name, radius), ionic, symbol, ".", "."])
    document = gemmi.cif.Document()
    block = document.add_new_block("energy")
    loop(block, "_lib_atom.", "type weight hb_type vdw_radius vdwh_radius ion_radius element valency sp", table)
    return document


def files() -> Iterator[tuple[Path, str]]:
    """Path below the library and content of each file."""
    for component, sources in components():
        document = component_document(component, sources)
        yield Path(component.name[0].lower()) / f"{component.name}.cif", document.as_string()
    yield Path("list/mon_lib_list.cif"), list_document().as_string()
    yield Path("ener_lib.cif"), energy_document().as_string()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail if files differ")
    only_check = parser.parse_args().check
    stale = []
    for path, content in files():
        target = TARGET / path
        if target.is_file() and target.read_text() == content:
            continue
        stale.append(str(path))
        if not only_check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
    sys.stdout.write(f"{len(stale)} files {'differ' if only_check else 'written'}\n")
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
