"""Models of atoms: mmCIF and PDB files to gemmi structures and `Atoms`, and back."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.chemistry.labels import atom_name
from burnish.core.errors import DataError
from burnish.core.events import Message
from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.io.file_kinds import in_place_of
from burnish.io.reflection_table import checked_crystal, read_bytes

MAX_OCCUPANCY = 2.0
ON_TOP = 0.4  # Å: nearer than any two nuclei come
CELL_WARN, CELL_REFUSE = 0.002, 0.02  # relative difference of cell edges; angles by the same factors of 90°


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model as read.

    Attributes
    ----------
    source : the file.
    structure : one model, entities set up; its atoms in the order of `atoms`.
    atoms : parameters of every atom, in the order of `structure[0].all()`.
    crystal : cell and space group, None when the file has none.
    packed : the text of an mmCIF file, compressed; None for PDB.
    messages : what the user should know.
    """

    source: Path
    structure: gemmi.Structure
    atoms: Atoms
    crystal: Crystal | None
    packed: bytes | None
    messages: tuple[Message, ...]

    @property
    def document(self) -> gemmi.cif.Document | None:
        """The mmCIF document of the file, read anew for each caller; None for PDB.

        As a document a large model takes thirty times the memory of its packed text.
        """
        if self.packed is None:
            return None
        return gemmi.cif.read_string(zlib.decompress(self.packed).decode("utf-8", errors="replace"))


def read_model(path: Path) -> ModelFile:
    """Read a model from mmCIF or PDB (the content decides), gzipped or not.

    Raises
    ------
    InputError, DataError
        when the file cannot be read, or holds no atoms, several models, coordinates or B that are not numbers,
        duplicate atoms, atoms on top of each other, or impossible occupancies.
    """
    path = Path(path)
    content = read_bytes(path)
    text = content.decode("utf-8", errors="replace")
    is_cif = _looks_like_cif(text)
    if other := in_place_of(content, "a model"):
        raise DataError(f"{path}: {other}")
    notes: list[Message] = []
    try:
        if is_cif:
            document = gemmi.cif.read_string(text)
            block = next((b for b in document if b.find_loop("_atom_site.id").get_loop() is not None), None)
            if block is None:
                raise DataError(
                    f"{path}: no atoms (no loop _atom_site in any data block); give a model as mmCIF or PDB"
                )
            if _number_residues(block):
                text = f"{path.name}: no auth_seq_id: waters and ligands are numbered after the chain they are in"
                notes.append(Message(text, "warning"))
            structure = gemmi.make_structure_from_block(block)
            _refuse_text_numbers(path, block)
        else:
            text = text.encode("ascii", errors="replace").decode("ascii")  # gemmi cuts columns by bytes
            _refuse_bad_pdb_numbers(path, text)
            structure = gemmi.read_pdb_string(text)
    except (RuntimeError, ValueError, IndexError) as error:
        kind = "mmCIF" if is_cif else "PDB"
        why = " ".join(str(error).split())
        raise DataError(f"{path}: damaged {kind} file ({why}); write it again or give another") from None
    structure.name = structure.name or path.name.split(".")[0]
    structure.input_format = gemmi.CoorFormat.Mmcif if is_cif else gemmi.CoorFormat.Pdb
    _check_models(path, structure)
    if not is_cif:
        structure.merge_chain_parts()
    structure.setup_entities()
    notes += _drop_doubled_waters(path, structure)
    messages = check_atoms(path, structure)
    return ModelFile(
        source=path,
        structure=structure,
        atoms=atoms_of(structure),
        crystal=_crystal(path, structure),
        packed=zlib.compress(content, 1) if is_cif else None,
        messages=(*notes, *messages),
    )


def _number_residues(block: gemmi.cif.Block) -> bool:
    """Give numbers to residues of a file without those of its authors, in place; tell whether any were missing.

    Without `auth_seq_id` only polymers have numbers (`label_seq_id`); others would be one residue with many atoms of
    a name. A new one begins where chain or component change, or an atom comes again.
    """
    needed = ["label_seq_id", "label_asym_id", "label_comp_id", "label_atom_id"]
    table = block.find("_atom_site.", [*needed, "?label_alt_id", "?auth_asym_id", "?auth_seq_id"])
    if not table or table.has_column(6):
        return False
    chain_column = 5 if table.has_column(5) else 1
    rows = [(r[0], r[chain_column], r[2], r[3], r[4] if table.has_column(4) else ".") for r in table]
    last: Counter[str] = Counter()
    for number, chain, *_ in rows:
        last[chain] = max(last[chain], int(number) if number.isdigit() else 0)
    if all(number.isdigit() for number, *_ in rows):
        return False
    numbers, residue, held = [], ("", ""), set[tuple[str, str]]()
    for number, chain, component, atom, letter in rows:
        if not number.isdigit():
            if residue != (chain, component) or (atom, letter) in held:
                last[chain] += 1
                held.clear()
            residue = (chain, component)
            held.add((atom, letter))
            number = str(last[chain])
        numbers.append(number)
    block.find_loop("_atom_site.id").get_loop().add_columns(["_atom_site.auth_seq_id"], "?")
    column = block.find_loop("_atom_site.auth_seq_id")
    for row, number in enumerate(numbers):
        column[row] = number
    return True


def _looks_like_cif(text: str) -> bool:
    return any(line.startswith(("data_", "_atom_site", "loop_")) for line in text[: 1 << 16].splitlines())


def _refuse_text_numbers(path: Path, block: gemmi.cif.Block) -> None:
    """Coordinates, B and occupancy must be numbers; occupancy may be missing."""
    for item in ("Cartn_x", "Cartn_y", "Cartn_z", "B_iso_or_equiv", "occupancy"):
        for row, value in enumerate(block.find_loop("_atom_site." + item)):
            if item in ("occupancy", "B_iso_or_equiv") and value in ("?", "."):
                continue
            if not np.isfinite(gemmi.cif.as_number(value)):
                name = _cif_atom_name(block, row)
                raise DataError(
                    f"{path}: atom {name}, row {row + 1} of _atom_site: {item} is {value}, expected a number; correct "
                    "or remove the atom"
                )


def _cif_atom_name(block: gemmi.cif.Block, row: int) -> str:
    parts = [list(block.find_loop("_atom_site." + n)) for n in ("auth_asym_id", "auth_seq_id", "label_comp_id")]
    names = [p[row] for p in parts if p]
    atom = list(block.find_loop("_atom_site.label_atom_id"))
    return " ".join([*names, *(atom[row : row + 1])])


def _refuse_bad_pdb_numbers(path: Path, text: str) -> None:
    """gemmi reads what is no number in a PDB column as 0: every field of an atom is looked at before."""
    fields = (("x", 30, 38), ("y", 38, 46), ("z", 46, 54), ("occupancy", 54, 60), ("B", 60, 66))
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith(("ATOM  ", "HETATM")):
            continue
        for name, start, end in fields:
            field = line[start:end].strip()
            if not field and name in ("occupancy", "B"):
                continue
            try:
                good = np.isfinite(float(field))
            except ValueError:
                good = False
            if not good:
                raise DataError(
                    f"{path}: line {number} (atom {line[12:27].strip()}): {name} is {field or 'missing'}, expected a "
                    "number; correct or remove the atom"
                )


def _check_models(path: Path, structure: gemmi.Structure) -> None:
    if len(structure) > 1:
        raise DataError(f"{path}: {len(structure)} models in one file, expected one; keep the one to refine")
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise DataError(f"{path}: the model is empty: no atom in it; give a model with atoms")


def check_atoms(path: Path, structure: gemmi.Structure) -> list[Message]:
    """Refuse impossible atoms, and tell of doubtful ones.

    Raises
    ------
    DataError
        for coordinates or B that are not finite, unknown elements, duplicate atoms, occupancies below 0, above 2 or
        nowhere above 0, and atoms on top of each other.
    """
    messages: list[Message] = []
    seen: Counter[tuple[str, ...]] = Counter()
    above_one: list[str] = []
    negative_b: list[str] = []
    for cra in structure[0].all():
        atom, name = cra.atom, atom_name(cra)
        values = (*atom.pos.tolist(), atom.b_iso, atom.occ)
        if not np.isfinite(values).all():
            raise DataError(
                f"{path}: atom {name}: coordinates, B or occupancy are not numbers; correct or remove the atom"
            )
        if atom.element == gemmi.Element("X"):
            raise DataError(
                f"{path}: atom {name}: unknown element, so its scattering is unknown; correct the element column"
            )
        if atom.occ < 0.0 or atom.occ > MAX_OCCUPANCY:
            raise DataError(
                f"{path}: atom {name}: occupancy {atom.occ:g}, expected 0 to 1 (at most {MAX_OCCUPANCY:g}); correct it"
            )
        if atom.occ > 1.0:
            above_one.append(name)
        if atom.b_iso < 0.0:
            negative_b.append(name)
        key = (cra.chain.name, str(cra.residue.seqid), cra.residue.name, atom.name, atom.altloc)
        seen[key] += 1
        if seen[key] > 1:
            raise DataError(f"{path}: atom {name} is there twice; remove one, or give them conformer letters")
    if all(cra.atom.occ == 0.0 for cra in structure[0].all()):
        raise DataError(f"{path}: every atom has occupancy 0, so that nothing scatters; set the occupancies")
    _refuse_atoms_on_top(path, structure)
    if above_one:
        messages.append(Message(f"{path.name}: {_count(above_one, 'atom')} with occupancy above 1: kept", "warning"))
    if negative_b:
        messages.append(Message(f"{path.name}: {_count(negative_b, 'atom')} with negative B: set to 1 Å²", "warning"))
    return messages


def _count(names: list[str], what: str) -> str:
    return (
        f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({', '.join(names[:3])}{' …' if len(names) > 3 else ''})"
    )


def _drop_doubled_waters(path: Path, structure: gemmi.Structure) -> list[Message]:
    """Leave out waters that lie on other waters, as deposited models have them where chains meet; tell of each."""
    waters = [(chain, residue) for chain in structure[0] for residue in chain if residue.is_water() and len(residue)]
    found = {i: residue[0] for i, (_, residue) in enumerate(waters) if residue[0].altloc == "\0"}
    if len(found) < 2:
        return []
    from burnish.geometry.near_points import near_pairs  # numba takes long to import

    places = list(found)
    pairs = near_pairs(np.array([found[i].pos.tolist() for i in places]), ON_TOP).tolist()
    doubled = sorted({places[max(pair)] for pair in pairs if sum(found[places[k]].occ for k in pair) > 1.02})
    if not doubled:
        return []
    names = [f"{waters[i][0].name} {waters[i][1].seqid} {waters[i][1].name}" for i in doubled]
    gone = {(waters[i][0].name, str(waters[i][1].seqid)) for i in doubled}
    for chain in structure[0]:
        for at in reversed(range(len(chain))):
            if chain[at].is_water() and (chain.name, str(chain[at].seqid)) in gone:
                del chain[at]
    structure.remove_empty_chains()
    return [Message(f"{path.name}: {_count(names, 'water')} left out: on top of another water", "warning")]


def _refuse_atoms_on_top(path: Path, structure: gemmi.Structure) -> None:
    """Two atoms at one place that are not alternatives of each other: occupancies that add up to more than 1.

    Hydrogens are left out (they are placed anew), and so are images of an atom itself (special positions).
    """
    cras = [c for c in structure[0].all() if not c.atom.is_hydrogen()]
    xyz = np.array([c.atom.pos.tolist() for c in cras]).reshape(-1, 3)
    if len(xyz) < 2:
        return
    from burnish.geometry.near_points import near_pairs  # numba takes long to import

    for first, second in sorted(near_pairs(xyz, ON_TOP).tolist()):
        one, two = cras[first], cras[second]
        if one.atom.altloc != two.atom.altloc and "\0" not in (one.atom.altloc, two.atom.altloc):
            continue
        if one.atom.occ + two.atom.occ > 1.02:
            distance = float(np.linalg.norm(xyz[first] - xyz[second]))
            raise DataError(
                f"{path}: atoms {atom_name(one)} and {atom_name(two)} lie on top of each other ({distance:.2f} Å, "
                f"occupancies {one.atom.occ:g} and {two.atom.occ:g}); remove one or make them alternate conformers"
            )


def atoms_of(structure: gemmi.Structure) -> Atoms:
    """The parameters of every atom of the first model."""
    xyz, b_iso, u_aniso, occ, charges, residues = [], [], [], [], [], []
    elements, letters = [], []
    places: dict[tuple[str, str], int] = {}
    for cra in structure[0].all():
        atom = cra.atom
        xyz.append(atom.pos.tolist())
        aniso = atom.aniso.nonzero()
        u_aniso.append(atom.aniso.elements_pdb() if aniso else (0.0,) * 6)
        b_iso.append(atom.b_eq() if aniso else (atom.b_iso if atom.b_iso >= 0 else 1.0))
        occ.append(atom.occ)
        charges.append(atom.charge)
        elements.append(atom.element.name)
        letters.append("" if atom.altloc == "\0" else atom.altloc)
        place = (cra.chain.name, str(cra.residue.seqid))
        residues.append(places.setdefault(place, len(places)))
    u = torch.tensor(u_aniso, dtype=torch.float64).reshape(-1, 6)
    return Atoms(
        xyz=torch.tensor(xyz, dtype=torch.float64).reshape(-1, 3),
        b_iso=torch.tensor(b_iso, dtype=torch.float64),
        u_aniso=u,
        is_aniso=(u != 0).any(1),
        occ=torch.tensor(occ, dtype=torch.float64),
        elements=tuple(elements),
        charges=torch.tensor(charges, dtype=torch.int64),
        altloc=tuple(letters),
        residue=torch.tensor(residues, dtype=torch.int64),
    )


def with_atoms(structure: gemmi.Structure, atoms: Atoms) -> gemmi.Structure:
    """A copy of the structure with the positions, B and occupancies of `atoms`, which are in its order."""
    moved = structure.clone()
    xyz, b_iso = atoms.xyz.detach().cpu().numpy(), atoms.b_iso.detach().cpu().numpy()
    u_aniso, occ = atoms.u_aniso.detach().cpu().numpy(), atoms.occ.detach().cpu().numpy()
    is_aniso = atoms.is_aniso.cpu().numpy()
    cras = list(moved[0].all())
    if len(cras) != len(atoms):
        raise ValueError(f"{len(atoms)} atoms for a structure of {len(cras)}")
    for row, cra in enumerate(cras):
        cra.atom.pos = gemmi.Position(*xyz[row])
        cra.atom.occ = float(occ[row])
        if is_aniso[row]:
            cra.atom.aniso = gemmi.SMat33f(*u_aniso[row])
            cra.atom.b_iso = float(EIGHT_PI_SQUARED * u_aniso[row][:3].mean())
        else:
            cra.atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
            cra.atom.b_iso = float(b_iso[row])
    return moved


def _crystal(path: Path, structure: gemmi.Structure) -> Crystal | None:
    """Cell and space group; the placeholder of maps and predictions (1 Å cube) counts as none."""
    if not structure.cell.is_crystal() or structure.cell.volume < 100.0:
        return None
    group = structure.find_spacegroup()
    if group is None:
        if structure.spacegroup_hm.strip():
            raise DataError(f"{path}: unknown space group {structure.spacegroup_hm!r}; correct the model's header")
        return None
    return checked_crystal(structure.cell, group, path)


def agree_on_crystal(model: ModelFile, data: Crystal, data_source: Path) -> tuple[Message, ...]:
    """Compare the cell and space group of model and data; the data's are the ones that count.

    Raises
    ------
    DataError
        when the space groups differ, or the cells by more than 2 %.
    """
    if model.crystal is None:
        text = f"{model.source.name} has no cell; {data_source.name}'s is used: {_crystal_text(data)}"
        return (Message(text, "warning"),)
    ours, theirs = model.crystal.group, data.group
    if ours.operations() != theirs.operations():
        hint = _why_groups_differ(ours, theirs)
        raise DataError(
            f"{model.source}: space group {ours.xhm()}, but {data_source} has {theirs.xhm()}{hint}; correct the "
            "one that is wrong"
        )
    differences = _cell_differences(model.crystal, data)
    if max(differences) > CELL_REFUSE:
        raise DataError(
            f"{model.source}: cell {_crystal_text(model.crystal)} differs by {max(differences):.1%} from that of "
            f"{data_source} ({_crystal_text(data)}); these are different crystals, or one file is wrong"
        )
    if max(differences) > CELL_WARN:
        text = (
            f"cell of {model.source.name} differs by {max(differences):.2%} from that of {data_source.name}, which is "
            f"used ({_crystal_text(data)})"
        )
        return (Message(text, "warning"),)
    return ()


def _why_groups_differ(ours: gemmi.SpaceGroup, theirs: gemmi.SpaceGroup) -> str:
    if ours.point_group_hm() == theirs.point_group_hm():
        return " (same point group: another screw axis, hand or setting)"
    return ""


def _cell_differences(one: Crystal, two: Crystal) -> list[float]:
    edges = [abs(a - b) / b for a, b in zip(one.cell[:3], two.cell[:3], strict=True)]
    angles = [abs(a - b) / 90.0 for a, b in zip(one.cell[3:], two.cell[3:], strict=True)]
    return edges + angles


def _crystal_text(crystal: Crystal) -> str:
    return " ".join(f"{v:.5g}" for v in crystal.cell) + f" {crystal.space_group}"
