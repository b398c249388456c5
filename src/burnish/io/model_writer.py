"""`refined.cif` and `refined.pdb`: the refined atoms in the file that was read, everything else of it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish import __version__
from burnish.io.atomic import write_aside
from burnish.io.cis_peptides import list_cis_peptides
from burnish.io.models import ModelFile
from burnish.io.tls_groups import tls_remarks

FloatArray = NDArray[np.float64]
SOFTWARE = "Burnish"
MICROSCOPY = "ELECTRON MICROSCOPY"  # method of `_exptl` and EXPDTA
_OF_THE_PLACE = (  # categories that a model which is moved as a whole leaves behind
    "_atom_sites.", "_atom_sites_fract_transf.", "_struct_ncs_oper.", "_pdbx_struct_oper_list.",
    "_pdbx_struct_assembly.", "_pdbx_struct_assembly_gen.", "_pdbx_struct_assembly_prop.",
)  # fmt: skip
PDB_COLUMN_LIMIT = 9999.999  # Å, what a coordinate column of PDB holds on the negative side is less


@dataclass(frozen=True, slots=True, kw_only=True)
class RestraintLine:
    """One line of the table of restraints: name in REFMAC's words, number, rms deviation, mean target sigma."""

    name: str
    count: int
    rms: float
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementNumbers:
    """What the header of a refined model says; NaN and 0 for what is not known.

    Attributes
    ----------
    d_min, d_max : resolution limits, Å.
    n_work, n_free : reflections in use.
    r_work, r_free : R factors, fractions.
    cc_work, cc_free : correlation of amplitudes.
    completeness : fraction of the possible reflections that are measured.
    restraints : the table of restraints.
    tls_groups : given to gemmi as they are.
    method : "X-RAY DIFFRACTION" or "ELECTRON MICROSCOPY" …
    """

    d_min: float
    d_max: float = float("nan")
    n_work: int = 0
    n_free: int = 0
    r_work: float = float("nan")
    r_free: float = float("nan")
    cc_work: float = float("nan")
    cc_free: float = float("nan")
    completeness: float = float("nan")
    restraints: Sequence[RestraintLine] = ()
    tls_groups: Sequence[gemmi.TlsGroup] = ()
    method: str = "X-RAY DIFFRACTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainties:
    """Standard uncertainties of the atoms of a structure, in its order; NaN where not refined."""

    xyz: FloatArray
    b_iso: FloatArray


def write_model_cif(
    path: Path,
    model: ModelFile,
    refined: gemmi.Structure,
    numbers: RefinementNumbers,
    uncertainties: Uncertainties | None = None,
) -> None:
    """Write the refined model as mmCIF.

    Every category of the input file is kept. Its table of atoms is kept row by row when the refined model has the same
    atoms, with new positions, B and occupancies; otherwise it is written anew. Statistics of refinement are replaced.

    Parameters
    ----------
    path : where to.
    model : as read.
    refined : the same structure after refinement, possibly with other atoms.
    numbers : for the header.
    uncertainties : of the atoms of `refined`, when the user asked for them.
    """
    structure = _with_header(refined, numbers)
    document = model.document
    if document is None:
        document = structure.make_mmcif_document()
        block = document.sole_block()
    else:
        block = next(b for b in document if b.find_loop("_atom_site.id").get_loop() is not None)
        _update_block(block, structure)
        if numbers.method == MICROSCOPY:
            block.find_mmcif_category("_exptl.").erase()
            block.set_pair("_exptl.entry_id", gemmi.cif.quote(structure.name))
            block.set_pair("_exptl.method", f"'{MICROSCOPY}'")
    if uncertainties is not None:
        _add_uncertainties(block, structure, uncertainties)
    with write_aside(path) as aside:
        document.write_file(str(aside), gemmi.cif.WriteOptions(gemmi.cif.Style.Aligned))


def write_changed_cif(path: Path, model: ModelFile, changed: gemmi.Structure, *, placed: bool = False) -> None:
    """Write a model whose atoms were changed, but not refined, as mmCIF: every category of the input file is kept.

    Parameters
    ----------
    path : where to.
    model : as read.
    changed : the structure, possibly with other atoms.
    placed : whether it was moved as a whole: its operators and assemblies then replace those of the file.
    """
    structure = changed.clone()
    list_cis_peptides(structure)
    document = model.document
    if document is None:
        document = structure.make_mmcif_document()
    else:
        block = next(b for b in document if b.find_loop("_atom_site.id").get_loop() is not None)
        block.find_mmcif_category("_struct_mon_prot_cis.").erase()
        groups = gemmi.MmcifOutputGroups(False)
        groups.cell = groups.symmetry = groups.cis = True
        if placed:
            groups.ncs = groups.assembly = True
            for name in _OF_THE_PLACE:
                block.find_mmcif_category(name).erase()
        _update_tables(block, structure, groups)
    with write_aside(path) as aside:
        document.write_file(str(aside), gemmi.cif.WriteOptions(gemmi.cif.Style.Aligned))


def why_not_pdb(structure: gemmi.Structure) -> str | None:
    """The reason for which the PDB format cannot hold a model, None when it can."""
    for chain in structure[0]:
        if len(chain.name) > 1:
            return f"chain name {chain.name} has more than one character"
        for residue in chain:
            if len(residue.name) > 3:
                return f"residue name {residue.name} has more than three characters"
            if residue.seqid.num is not None and not -999 <= residue.seqid.num <= 9999:
                return f"residue number {residue.seqid} has more than four characters"
    count = structure[0].count_atom_sites()
    if count > 99_999:
        return f"{count} atoms are more than 99,999"
    if any(not -999.999 <= v <= PDB_COLUMN_LIMIT for cra in structure[0].all() for v in cra.atom.pos.tolist()):
        return "a coordinate does not fit into its column"
    return None


def write_model_pdb(path: Path, refined: gemmi.Structure, numbers: RefinementNumbers) -> None:
    """Write the refined model as PDB; the caller has asked `why_not_pdb`."""
    structure = _with_header(refined, numbers)
    structure.raw_remarks = _remarks(numbers)  # those of the input describe another refinement
    with write_aside(path) as aside:
        structure.write_pdb(str(aside))


def _remarks(numbers: RefinementNumbers) -> list[str]:
    """REMARK 2 and 3 of the PDB format; gemmi writes none of its own."""

    def shown(value: float, form: str) -> str:
        return format(value, form) if np.isfinite(value) else "NULL"

    if numbers.method == MICROSCOPY:
        return _remark_lines(numbers, ["", " REFINEMENT.", f"   PROGRAM     : BURNISH {__version__}", ""])
    free_share = 100.0 * numbers.n_free / max(1, numbers.n_work + numbers.n_free)
    three = [
        "",
        " REFINEMENT.",
        f"   PROGRAM     : BURNISH {__version__}",
        "",
        "  DATA USED IN REFINEMENT.",
        f"   RESOLUTION RANGE HIGH (ANGSTROMS) : {shown(numbers.d_min, '.2f')}",
        f"   RESOLUTION RANGE LOW  (ANGSTROMS) : {shown(numbers.d_max, '.2f')}",
        f"   COMPLETENESS FOR RANGE        (%) : {shown(100.0 * numbers.completeness, '.2f')}",
        f"   NUMBER OF REFLECTIONS             : {numbers.n_work + numbers.n_free}",
        "",
        "  FIT TO DATA USED IN REFINEMENT.",
        f"   CROSS-VALIDATION METHOD          : {'THROUGHOUT' if numbers.n_free else 'NONE'}",
        f"   R VALUE     (WORKING + TEST SET) : {shown(_r_all(numbers), '.4f')}",
        f"   R VALUE            (WORKING SET) : {shown(numbers.r_work, '.4f')}",
        f"   FREE R VALUE                     : {shown(numbers.r_free, '.4f')}",
        f"   FREE R VALUE TEST SET SIZE   (%) : {free_share:.2f}",
        f"   FREE R VALUE TEST SET COUNT      : {numbers.n_free}",
        "",
        "  RMS DEVIATIONS FROM IDEAL VALUES        COUNT    RMS   WEIGHT",
        *(f"   {line.name:<35s} : {line.count:6d} ; {line.rms:.3f} ; {line.target:.3f}" for line in numbers.restraints),
        *tls_remarks(numbers.tls_groups),
    ]
    return _remark_lines(numbers, three)


def _remark_lines(numbers: RefinementNumbers, three: Sequence[str]) -> list[str]:
    two = ["", f" RESOLUTION. {numbers.d_min:7.2f} ANGSTROMS."]
    return [f"REMARK   2{line}".ljust(80) for line in two] + [f"REMARK   3{line}".ljust(80) for line in three]


def _with_header(refined: gemmi.Structure, numbers: RefinementNumbers) -> gemmi.Structure:
    """A copy with the statistics of this refinement in place of those of an earlier one."""
    structure = refined.clone()
    list_cis_peptides(structure)
    info = gemmi.RefinementInfo()
    info.id = numbers.method
    info.resolution_high, info.resolution_low = numbers.d_min, numbers.d_max
    if numbers.method == MICROSCOPY:  # which has no reflections to count, and of a crystal's model is new
        structure.info["_exptl.method"] = MICROSCOPY
    else:
        info.reflection_count = numbers.n_work + numbers.n_free
        info.work_set_count, info.rfree_set_count = numbers.n_work, numbers.n_free
    info.r_work, info.r_free = numbers.r_work, numbers.r_free
    info.r_all = _r_all(numbers)
    info.cc_fo_fc_work, info.cc_fo_fc_free = numbers.cc_work, numbers.cc_free
    info.completeness = 100.0 * numbers.completeness
    if numbers.n_free:
        info.cross_validation_method = "THROUGHOUT"
        info.rfree_selection_method = "RANDOM"
    b = [cra.atom.b_iso for cra in structure[0].all() if not cra.atom.is_hydrogen()]
    info.mean_b = float(np.mean(b)) if b else float("nan")
    lines = []
    for line in numbers.restraints:
        restraint = gemmi.RefinementInfo.Restr(line.name)
        restraint.count, restraint.dev_ideal, restraint.weight = line.count, line.rms, line.target
        lines.append(restraint)
    info.restr_stats = lines
    if numbers.tls_groups:
        info.tls_groups = list(numbers.tls_groups)
    structure.meta.refinement = [info]
    structure.resolution = numbers.d_min
    software = [s for s in structure.meta.software if s.name.upper() != SOFTWARE.upper()]
    item = gemmi.SoftwareItem()
    item.name, item.version = SOFTWARE, __version__
    item.classification = gemmi.SoftwareItem.Classification.Refinement
    structure.meta.software = [*software, item]
    return structure


def _r_all(numbers: RefinementNumbers) -> float:
    """R of all reflections, weighting work and free by their numbers (their mean amplitudes are alike)."""
    total = numbers.n_work + numbers.n_free
    if not total or not numbers.n_free:
        return numbers.r_work
    return (numbers.r_work * numbers.n_work + numbers.r_free * numbers.n_free) / total


def _update_block(block: gemmi.cif.Block, structure: gemmi.Structure) -> None:
    groups = gemmi.MmcifOutputGroups(False)
    groups.cell = groups.symmetry = groups.refine = groups.software = groups.tls = groups.cis = True
    block.find_mmcif_category("_struct_mon_prot_cis.").erase()
    groups.ncs = len(structure.ncs) > 0
    _update_tables(block, structure, groups)
    if not structure.meta.refinement[0].tls_groups:
        for name in ("_pdbx_refine_tls.", "_pdbx_refine_tls_group."):  # of an earlier refinement
            block.find_mmcif_category(name).erase()


def _update_tables(block: gemmi.cif.Block, structure: gemmi.Structure, groups: gemmi.MmcifOutputGroups) -> None:
    """Update these groups of categories and the atoms, with the tables that other atoms than before need."""
    kept_in_place = _update_atoms(block, structure)
    if not kept_in_place:
        groups.atoms = groups.atom_type = groups.group_pdb = True
        # new residues have entities and bonds that the tables of the input do not know
        groups.entity = groups.entity_poly = groups.entity_poly_seq = groups.struct_asym = groups.chem_comp = True
        groups.conn = True
    structure.update_mmcif_block(block, groups)
    if kept_in_place:
        _write_anisotropic(block, structure)


def _update_atoms(block: gemmi.cif.Block, structure: gemmi.Structure) -> bool:
    """Put new values into the rows of the atoms, in place; False when the rows are not those of the structure."""
    loop = block.find_loop("_atom_site.id").get_loop()
    names = [tag.removeprefix("_atom_site.") for tag in loop.tags]
    rows = _row_of_atom(block, names)
    cras = list(structure[0].all())
    keys = [_key(cra) for cra in cras]
    if rows is None or len(set(keys)) != len(keys) or set(keys) != set(rows):
        return False
    columns = {name: i for i, name in enumerate(names)}
    values = list(loop.values)
    width = loop.width()
    for key, cra in zip(keys, cras, strict=True):
        start = rows[key] * width
        atom = cra.atom
        new = {
            "Cartn_x": f"{atom.pos.x:.4f}",
            "Cartn_y": f"{atom.pos.y:.4f}",
            "Cartn_z": f"{atom.pos.z:.4f}",
            "B_iso_or_equiv": f"{atom.b_iso:.3f}",
            "occupancy": f"{atom.occ:.4g}",
        }
        for name, text in new.items():
            if name in columns:
                values[start + columns[name]] = text
    stale = [n for n in names if n.endswith("_esd")]
    for name in stale:
        for row in range(loop.length()):
            values[row * width + columns[name]] = "?"
    loop.set_all_values([values[i::width] for i in range(width)])
    return True


def _row_of_atom(block: gemmi.cif.Block, names: list[str]) -> dict[tuple[str, ...], int] | None:
    """Row of each atom by chain, number, insertion code, component, atom, conformer; None when these are not unique."""

    def column(*candidates: str) -> list[str]:
        for name in candidates:
            if name in names:
                found = [gemmi.cif.as_string(v) for v in block.find_loop("_atom_site." + name)]
                if any(found):
                    return found
        return [""] * length

    length = block.find_loop("_atom_site.id").get_loop().length()
    parts = [
        column("auth_asym_id", "label_asym_id"),
        column("auth_seq_id", "label_seq_id"),
        column("pdbx_PDB_ins_code"),
        column("auth_comp_id", "label_comp_id"),
        column("auth_atom_id", "label_atom_id"),
        column("label_alt_id"),
    ]
    rows = {key: row for row, key in enumerate(zip(*parts, strict=True))}
    return rows if len(rows) == length else None


def _key(cra: gemmi.CRA) -> tuple[str, ...]:
    number = cra.residue.seqid
    code = number.icode.strip()
    return (
        cra.chain.name,
        str(number.num),
        code,
        cra.residue.name,
        cra.atom.name,
        "" if cra.atom.altloc == "\0" else cra.atom.altloc,
    )


_ANISO_ITEMS = ("U[1][1]", "U[2][2]", "U[3][3]", "U[1][2]", "U[1][3]", "U[2][3]")


def _write_anisotropic(block: gemmi.cif.Block, structure: gemmi.Structure) -> None:
    """Write the table of anisotropic displacements anew, with the ids of the table of atoms."""
    block.find_mmcif_category("_atom_site_anisotrop.").erase()
    anisotropic = {_key(cra): cra.atom.aniso for cra in structure[0].all() if cra.atom.aniso.nonzero()}
    if not anisotropic:
        return
    names = [tag.removeprefix("_atom_site.") for tag in block.find_loop("_atom_site.id").get_loop().tags]
    rows = _row_of_atom(block, names)
    assert rows is not None
    carried = [
        ("id", "id"),
        ("type_symbol", "type_symbol"),
        ("pdbx_label_atom_id", "label_atom_id"),
        ("pdbx_label_alt_id", "label_alt_id"),
        ("pdbx_label_comp_id", "label_comp_id"),
        ("pdbx_label_asym_id", "label_asym_id"),
        ("pdbx_label_seq_id", "label_seq_id"),
        ("pdbx_auth_seq_id", "auth_seq_id"),
        ("pdbx_auth_asym_id", "auth_asym_id"),
    ]
    carried = [(new, old) for new, old in carried if old in names]
    sites = {old: list(block.find_loop("_atom_site." + old)) for _, old in carried}
    loop = block.init_loop("_atom_site_anisotrop.", [new for new, _ in carried] + list(_ANISO_ITEMS))
    for key, row in sorted(rows.items(), key=lambda item: item[1]):
        if key in anisotropic:
            u = anisotropic[key].elements_pdb()
            loop.add_row([sites[old][row] for _, old in carried] + [f"{v:.5f}" for v in u])


def _add_uncertainties(block: gemmi.cif.Block, structure: gemmi.Structure, uncertainties: Uncertainties) -> None:
    """Add columns of standard uncertainties, given in the order of the structure, to the table of atoms."""
    loop = block.find_loop("_atom_site.id").get_loop()
    rows = _row_of_atom(block, [tag.removeprefix("_atom_site.") for tag in loop.tags])
    order = [rows[_key(cra)] for cra in structure[0].all()] if rows is not None else range(loop.length())
    columns = {
        "Cartn_x_esd": uncertainties.xyz[:, 0],
        "Cartn_y_esd": uncertainties.xyz[:, 1],
        "Cartn_z_esd": uncertainties.xyz[:, 2],
        "B_iso_or_equiv_esd": uncertainties.b_iso,
    }
    for name, values in columns.items():
        tag = "_atom_site." + name
        if tag not in loop.tags:
            loop.add_columns([tag], "?")
        column = block.find_loop(tag)
        for row, value in zip(order, values, strict=True):
            column[row] = f"{value:.4f}" if np.isfinite(value) else "?"
