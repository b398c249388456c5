"""Categories of the model: atoms, entities, sequences, components, connections; and what the file brought along."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi

from burnish.chemistry.links import Linking, complete_links
from burnish.io.cis_peptides import list_cis_peptides
from burnish.io.deposition.assembly import check_assemblies
from burnish.io.deposition.categories import (
    Categories,
    Category,
    categories_of,
    fill,
    is_known,
    number,
    one_row,
    row_count,
    rows,
)

# of the input file: what describes sample and measurement, which no refinement changes
KEPT = (
    "audit_author", "citation", "citation_author", "citation_editor", "struct", "struct_keywords", "struct_biol",
    "pdbx_contact_author", "pdbx_audit_support", "pdbx_entry_details", "entity_name_com", "entity_src_gen",
    "entity_src_nat", "pdbx_entity_src_syn", "exptl", "exptl_crystal", "exptl_crystal_grow", "exptl_crystal_grow_comp",
    "diffrn", "diffrn_detector", "diffrn_radiation", "diffrn_radiation_wavelength", "diffrn_source", "reflns",
    "reflns_shell", "pdbx_initial_refinement_model", "phasing", "struct_ref", "struct_ref_seq", "struct_ref_seq_dif",
    "pdbx_struct_assembly", "pdbx_struct_assembly_gen", "pdbx_struct_assembly_prop", "pdbx_struct_oper_list",
    "pdbx_struct_assembly_auth_evidence", "pdbx_database_related",
)  # fmt: skip
DENSITY_OF_PROTEIN = 1.23  # Da/Å³, the reciprocal of .74 cm³/g in these units (Matthews 1968, J. Mol. Biol. 33, 491)
LINKING = {
    gemmi.PolymerType.PeptideL: "L-peptide linking",
    gemmi.PolymerType.PeptideD: "D-peptide linking",
    gemmi.PolymerType.Dna: "DNA linking",
    gemmi.PolymerType.Rna: "RNA linking",
    gemmi.PolymerType.DnaRnaHybrid: "RNA linking",
}


def model_categories(
    structure: gemmi.Structure, library: gemmi.MonLib, old: gemmi.cif.Block, entity_ids: dict[str, str]
) -> Categories:
    """Everything about the model itself, and what the block that was read says of sample and measurement.

    Parameters
    ----------
    structure : with full sequences and final ids; its connections are completed.
    library : dictionaries of its components.
    old : block of the refined model.
    entity_ids : new id of each entity of `old`.
    """
    structure.setup_cell_images()
    list_cis_peptides(structure)
    complete_links(structure, library.clone(), Linking())
    for i, connection in enumerate(structure.connections, start=1):
        connection.name = f"{_CONNECTION_NAMES.get(connection.type, 'covale')}{i}"
    groups = gemmi.MmcifOutputGroups(True)
    groups.auth_all = groups.group_pdb = True
    groups.refine = groups.software = groups.tls = groups.scale = False
    made = categories_of(structure.make_mmcif_block(groups))
    before = categories_of(old)
    for name in KEPT:
        if name in before:
            made[name] = before[name]
            for item in ("entity_id", "entity_assembly_id"):
                if item == "entity_id" and item in made[name]:
                    made[name][item] = [entity_ids.get(str(v), v) for v in made[name][item]]
    for name in [n for n in before if n.startswith("em_")]:
        made[name] = before[name]
    check_assemblies(made)
    for category in made.values():
        if "entry_id" in category:
            category["entry_id"] = [structure.name] * row_count(category)
    _describe_entities(made, structure, library, before, entity_ids)
    _describe_components(made, structure, library, before)
    made.get("struct_conn", {}).pop("ccp4_link_id", None)  # CCP4's, not the PDB's
    made.pop("pdbx_database_status", None)  # of the entry that the model came from
    made["pdbx_poly_seq_scheme"] = _sequence_scheme(structure)
    made["audit_conform"] = one_row(
        {"dict_name": "mmcif_pdbx.dic", "dict_version": "5.288", "dict_location": _DICTIONARY_ADDRESS}
    )
    return made


_DICTIONARY_ADDRESS = "http://mmcif.pdb.org/dictionaries/ascii/mmcif_pdbx.dic"
_CONNECTION_NAMES = {gemmi.ConnectionType.Disulf: "disulf", gemmi.ConnectionType.MetalC: "metalc"}


def _describe_entities(
    made: Categories, structure: gemmi.Structure, library: gemmi.MonLib, before: Categories, ids: dict[str, str]
) -> None:
    """Weights, numbers of copies and descriptions of the entities."""
    old = before.get("entity", {})
    known = {ids.get(str(i), str(i)): row for row, i in enumerate(old.get("id", []))}

    def carried(entity: gemmi.Entity, item: str) -> object:
        return old[item][known[entity.name]] if item in old and entity.name in known else None

    kinds = {gemmi.EntityType.Water: "nat", gemmi.EntityType.NonPolymer: "syn"}
    table: list[tuple[object, ...]] = []
    for entity in structure.entities:
        residues = [r for c in structure[0] for r in c if r.subchain in entity.subchains]
        water = entity.entity_type == gemmi.EntityType.Water
        single = entity.entity_type == gemmi.EntityType.NonPolymer and residues
        name = "water" if water else _component_name(library, before, residues[0].name) if single else None
        weight = _weight_of(entity, residues, library)
        copies = len({(str(r.seqid), r.subchain) for r in residues}) if water else len(entity.subchains)
        table.append(
            (entity.name, made["entity"]["type"][len(table)],
             carried(entity, "src_method") or kinds.get(entity.entity_type),
             carried(entity, "pdbx_description") or name, number(weight), copies,
             carried(entity, "pdbx_ec"), carried(entity, "pdbx_mutation"), carried(entity, "details"))
        )  # fmt: skip
    items = ("id", "type", "src_method", "pdbx_description", "formula_weight", "pdbx_number_of_molecules",
             "pdbx_ec", "pdbx_mutation", "details")  # fmt: skip
    made["entity"] = rows(items, table)
    if "entity_poly" in made:
        polymers = made["entity_poly"]
        count = row_count(polymers)
        polymers["nstd_linkage"], polymers["nstd_monomer"] = ["no"] * count, []
        polymers["pdbx_seq_one_letter_code"], polymers["pdbx_seq_one_letter_code_can"] = [], []
        for entity_id in polymers["entity_id"]:
            sequence = structure.get_entity(str(entity_id)).full_sequence
            firsts = [gemmi.Entity.first_mon(m) for m in sequence]
            infos = [gemmi.find_tabulated_residue(m) for m in firsts]
            polymers["nstd_monomer"].append("no" if all(i.is_standard() for i in infos) else "yes")
            polymers["pdbx_seq_one_letter_code"].append(one_letter_sequence(firsts))
            letters = [i.one_letter_code.upper() if i.one_letter_code.isalpha() else "X" for i in infos]
            polymers["pdbx_seq_one_letter_code_can"].append("".join(letters))


def one_letter_sequence(names: Sequence[str]) -> str:
    """A sequence as PDBx/mmCIF wants it: amino acids and ribonucleotides as letters, all else as (DG), (MSE).

    >>> one_letter_sequence(["GLY", "MSE", "ALA"]), one_letter_sequence(["DG", "DT", "U"])
    ('G(MSE)A', '(DG)(DT)U')
    """
    parts = []
    for name in names:
        info = gemmi.find_tabulated_residue(name)
        plain = info.is_standard() and info.kind in (gemmi.ResidueKind.AA, gemmi.ResidueKind.RNA)
        parts.append(info.one_letter_code if plain else f"({name})")
    return "".join(parts)


def _weight_of(entity: gemmi.Entity, residues: list[gemmi.Residue], library: gemmi.MonLib) -> float | None:
    """Weight of one copy, Da."""
    if entity.entity_type == gemmi.EntityType.Polymer:
        return float(gemmi.calculate_sequence_weight([gemmi.Entity.first_mon(m) for m in entity.full_sequence], 100.0))
    if not residues or residues[0].name not in library.monomers:
        return None
    return sum(atom.el.weight for atom in library.monomers[residues[0].name].atoms)


def _component_name(library: gemmi.MonLib, before: Categories, code: str) -> str | None:
    old = before.get("chem_comp", {})
    for known, text in zip(old.get("id", []), old.get("name", []), strict=False):
        if known == code and isinstance(text, str) and is_known(text):
            return text
    if code in library.monomers and library.monomers[code].name not in ("", ".", code):
        return str(library.monomers[code].name).strip()
    return None


def _describe_components(
    made: Categories, structure: gemmi.Structure, library: gemmi.MonLib, before: Categories
) -> None:
    """Kind, name and weight of each component, those of the full sequences among them."""
    codes: dict[str, str] = {}
    for entity in structure.entities:
        for item in entity.full_sequence:
            for code in item.split(","):
                codes[code] = LINKING.get(entity.polymer_type, "other")
    for chain in structure[0]:
        for residue in chain:
            codes.setdefault(residue.name, "NON-POLYMER")
    table = []
    for code in sorted(codes):
        kind = "peptide linking" if code == "GLY" else codes[code]
        if code in library.monomers and library.monomers[code].group == gemmi.ChemComp.Group.Pyranose:
            kind = "SACCHARIDE"
        weight = _component_weight(library, code)
        standard = gemmi.find_tabulated_residue(code).is_standard() and kind != "NON-POLYMER"
        table.append(
            (code, kind, "y" if standard else "n" if kind != "NON-POLYMER" else False,
             _component_name(library, before, code), number(weight))
        )  # fmt: skip
    made["chem_comp"] = rows(("id", "type", "mon_nstd_flag", "name", "formula_weight"), table)


def _component_weight(library: gemmi.MonLib, code: str) -> float | None:
    if code in library.monomers:
        return sum(atom.el.weight for atom in library.monomers[code].atoms)
    return float(gemmi.find_tabulated_residue(code).weight) or None


def _sequence_scheme(structure: gemmi.Structure) -> Category:
    """Each residue of each copy of each polymer beside what the model has there."""
    items = ("asym_id", "entity_id", "seq_id", "mon_id", "ndb_seq_num", "pdb_seq_num", "auth_seq_num", "pdb_mon_id",
             "auth_mon_id", "pdb_strand_id", "pdb_ins_code", "hetero")  # fmt: skip
    table: list[tuple[object, ...]] = []
    for chain in structure[0]:
        polymer = chain.get_polymer()
        if not len(polymer):
            continue
        entity = structure.get_entity_of(polymer)
        placed = {r.label_seq: r for r in polymer.first_conformer() if r.label_seq is not None}
        shift = next(((r.seqid.num or 0) - n for n, r in sorted(placed.items())), 0)
        for position, item in enumerate(entity.full_sequence, start=1):
            found = placed.get(position)
            if found is not None:
                shift = (found.seqid.num or 0) - position
            for code in item.split(","):
                here = found if found is not None and (found.name == code or "," not in item) else None
                own = here.name if here is not None else None
                table.append(
                    (polymer[0].subchain, entity.name, position, code, position, position + shift,
                     None if found is None else str(found.seqid.num), own, own, chain.name,
                     (found.seqid.icode.strip() or False) if found is not None else False,
                     "y" if "," in item else "n")
                )  # fmt: skip
    return rows(items, table)


def crystal_contents(made: Categories, structure: gemmi.Structure) -> None:
    """Matthews coefficient and solvent content, from the weights of the polymers and their copies."""
    weight = sum(
        gemmi.calculate_sequence_weight([gemmi.Entity.first_mon(m) for m in e.full_sequence], 100.0) * len(e.subchains)
        for e in structure.entities
        if e.entity_type == gemmi.EntityType.Polymer
    )
    group = structure.find_spacegroup()
    if not weight or group is None:
        return
    matthews = structure.cell.volume / (len(group.operations()) * weight * (len(structure.ncs) + 1))
    solvent = 100.0 * (1.0 - DENSITY_OF_PROTEIN / matthews)
    fill(
        made,
        "exptl_crystal",
        {"id": "1", "density_Matthews": number(matthews, 2), "density_percent_sol": number(solvent, 2)},
    )
