"""What a deposition asks for and only the experimenter knows: found in the files, given, or listed to be filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from burnish.core.errors import DataError, InputError
from burnish.io.deposition.categories import Categories, Category, Value, fill, is_known, row_count

POLYMER_ROWS = "polymer"  # one row for each polymer entity


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One item that the PDB or EMDB asks for.

    Attributes
    ----------
    category, item : its name.
    what : in the words of the user.
    example : a value as it should be written.
    alternatives : items of the same category any of which will do instead.
    each : "" for one value, `POLYMER_ROWS` for one a polymer entity.
    """

    category: str
    item: str
    what: str
    example: str = ""
    alternatives: tuple[str, ...] = ()
    each: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A requirement that nothing answered; `row` names the entity where there are several, `about` says which it is."""

    requirement: Requirement
    row: str = ""
    about: str = ""

    @property
    def name(self) -> str:
        place = f" (entity {self.row}{': ' if self.about else ''}{self.about})" if self.row else ""
        return f"_{self.requirement.category}.{self.requirement.item}{place}"


def _of(category: str, *items: tuple[str, str, str], each: str = "") -> tuple[Requirement, ...]:
    return tuple(Requirement(category=category, item=i, what=w, example=e, each=each) for i, w, e in items)


COMMON = (
    *_of("struct", ("title", "title of the entry", "Structure of X bound to Y")),
    *_of("audit_author", ("name", "authors of the entry, one row each", "Curie, M.")),
    *_of("citation", ("title", "title of the paper", "To be published")),
    *_of(
        "pdbx_contact_author",
        ("name_first", "first name of the contact author", "Maria"),
        ("name_last", "last name", "Curie"),
        ("email", "e-mail address", "m.curie@example.org"),
        ("role", "role", "principal investigator/group leader"),
        ("organization_type", "academic, commercial, government or other", "academic"),
        ("country", "country", "United Kingdom"),
    ),
    *_of("struct_keywords", ("pdbx_keywords", "class of the molecule", "HYDROLASE"), ("text", "keywords", "hydrolase")),
    *_of("entity", ("pdbx_description", "name of the molecule", "Ribonuclease Sa"), each=POLYMER_ROWS),
    *_of("entity", ("src_method", "man (expressed), nat (natural) or syn (synthetic)", "man"), each=POLYMER_ROWS),
    *_of(
        "entity_src_gen",
        ("pdbx_gene_src_scientific_name", "if expressed: organism that the gene is from", "Homo sapiens"),
        ("pdbx_gene_src_ncbi_taxonomy_id", "its NCBI taxonomy id", "9606"),
        ("pdbx_host_org_scientific_name", "if expressed: organism it was expressed in", "Escherichia coli"),
        ("pdbx_host_org_ncbi_taxonomy_id", "its NCBI taxonomy id", "562"),
        each=POLYMER_ROWS,
    ),
)
CRYSTAL = (
    *COMMON,
    *_of(
        "exptl_crystal_grow",
        ("method", "how the crystals were grown", "VAPOR DIFFUSION, HANGING DROP"),
        ("pH", "pH", "7.5"),
        ("temp", "temperature of growth, K", "293"),
        ("pdbx_details", "composition of the drop", "20 % PEG 3350, 0.2 M NaCl"),
    ),
    *_of("diffrn", ("ambient_temp", "temperature of the measurement, K", "100")),
    *_of(
        "diffrn_source",
        ("source", "kind of source", "SYNCHROTRON"),
        ("type", "beamline or model", "ESRF BEAMLINE ID23-2"),
        ("pdbx_wavelength_list", "wavelength, Å", "0.9795"),
    ),
    *_of(
        "diffrn_detector",
        ("detector", "kind of detector", "PIXEL"),
        ("type", "model", "DECTRIS PILATUS 6M"),
        ("pdbx_collection_date", "date of the measurement", "2026-01-31"),
    ),
    *_of(
        "diffrn_radiation",
        ("pdbx_scattering_type", "radiation", "x-ray"),
        ("pdbx_monochromatic_or_laue_m_l", "M (monochromatic) or L (Laue)", "M"),
        ("pdbx_diffrn_protocol", "protocol", "SINGLE WAVELENGTH"),
    ),
    *_of("diffrn_radiation_wavelength", ("wavelength", "wavelength, Å", "0.9795")),
    *_of(
        "reflns",
        ("pdbx_redundancy", "multiplicity of the unmerged data", "6.5"),
        ("pdbx_netI_over_sigmaI", "mean I/σ(I) of the merged data", "12.3"),
        ("pdbx_CC_half", "CC½ of the unmerged data", "0.998"),
    ),
    Requirement(
        category="reflns", item="pdbx_Rmerge_I_obs", what="R-merge, or R-meas as pdbx_Rrim_I_all", example="0.065",
        alternatives=("pdbx_Rrim_I_all", "pdbx_Rsym_value", "pdbx_Rpim_I_all"),
    ),
    *_of("reflns_shell", ("d_res_high", "outer shell: limits and the same statistics", "1.60")),
    *_of(
        "refine",
        ("pdbx_method_to_determine_struct", "how the phases were found", "MOLECULAR REPLACEMENT"),
        ("pdbx_starting_model", "search model: PDB code or AlphaFold accession", "1ABC"),
    ),
)  # fmt: skip
ELECTRON_MICROSCOPY = (
    *COMMON,
    *_of("em_entity_assembly", ("name", "name of the whole complex", "β-galactosidase tetramer")),
    *_of("em_entity_assembly_molwt", ("value", "its molecular weight, megadaltons", "0.465")),
    *_of("em_entity_assembly_naturalsource",
        ("organism", "organism", "Escherichia coli"), ("ncbi_tax_id", "its NCBI taxonomy id", "562")),
    *_of("em_specimen", ("concentration", "concentration, mg/ml", "1.5")),
    *_of("em_buffer", ("pH", "pH of the buffer", "8.0")),
    *_of("em_sample_support", ("grid_type", "grid", "Quantifoil R1.2/1.3"),
         ("grid_material", "its material", "COPPER")),
    *_of("em_vitrification", ("cryogen_name", "cryogen", "ETHANE"),
         ("instrument", "instrument", "FEI VITROBOT MARK IV")),
    *_of(
        "em_imaging",
        ("microscope_model", "microscope", "FEI TITAN KRIOS"),
        ("accelerating_voltage", "voltage, kV", "300"),
        ("nominal_cs", "spherical aberration, mm", "2.7"),
        ("electron_source", "electron source", "FIELD EMISSION GUN"),
        ("nominal_defocus_min", "least defocus, nm", "800"),
        ("nominal_defocus_max", "largest defocus, nm", "2500"),
    ),
    *_of(
        "em_image_recording",
        ("film_or_detector_model", "detector", "GATAN K3 (6k x 4k)"),
        ("avg_electron_dose_per_image", "dose of an image, e⁻/Å²", "50"),
        ("num_real_images", "number of micrographs", "4000"),
    ),
    *_of("em_ctf_correction", ("type", "CTF correction", "PHASE FLIPPING AND AMPLITUDE CORRECTION")),
    *_of("em_3d_reconstruction", ("resolution", "resolution, Å", "3.2"),
        ("num_particles", "number of particles", "100000")),
    *_of("em_single_particle_entity", ("point_symmetry", "point group", "D2")),
    *_of("em_map", ("contour_level", "recommended contour of the primary map", "0.02")),
)  # fmt: skip


def read_metadata(path: Path) -> Categories:
    """Read what the user filled in: YAML of category → items, or a list of rows; empty values are left out.

    Raises
    ------
    InputError, DataError : no such file, no YAML, or not of that form.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the to_fill_in.yaml of an earlier run, filled in") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: no YAML ({' '.join(str(error).split())}); expected category: {{item: value}}"
        ) from None
    found: Categories = {}
    for name, given in (content or {}).items() if isinstance(content, dict) or content is None else [("", content)]:
        listed = given if isinstance(given, list) else [given]
        if not name or not all(isinstance(row, dict) for row in listed if row is not None):
            raise DataError(f"{path}: {name or 'top level'}: expected items with values (category: {{item: value}})")
        given_rows = [{k: v for k, v in row.items() if v is not None} for row in listed if row]
        given_rows = [row for row in given_rows if row]
        items = list(dict.fromkeys(k for row in given_rows for k in row))
        if given_rows:
            category = str(name).strip("_.")
            found[category] = {str(k): [_plain(row.get(k)) for row in given_rows] for k in items}
    return found


def _plain(value: object) -> Value:
    return None if value is None else str(value)


def lay_over(categories: Categories, given: Categories) -> None:
    """Put the user's values over what is there.

    Rows are matched by the first item that both have among the ids below, a single row with a single row; a list that
    cannot be matched replaces what was there.
    """
    for name, new in given.items():
        old = categories.get(name)
        if not old:
            categories[name] = {item: list(values) for item, values in new.items()}
            continue
        key = next((k for k in ("id", "entity_id", "diffrn_id", "crystal_id", "type") if k in new and k in old), None)
        if key is None and row_count(new) == 1 == row_count(old):
            fill(categories, name, {item: values[0] for item, values in new.items()}, over=True)
        elif key is not None and set(new[key]) <= set(old[key]):
            _update_rows(old, new, key)
        else:
            categories[name] = {item: list(values) for item, values in new.items()}


def _update_rows(old: Category, new: Category, key: str) -> None:
    place = {value: row for row, value in enumerate(old[key])}
    for item, values in new.items():
        column = old.setdefault(item, [None] * row_count(old))
        for row, value in enumerate(values):
            if value is not None:
                column[place[new[key][row]]] = value


# what the dictionary asks of every row beside what people fill in
KEYS: dict[str, dict[str, str]] = {
    "citation": {"id": "primary"},
    "audit_author": {"pdbx_ordinal": "1"},
    "struct": {"entry_id": ""},
    "struct_keywords": {"entry_id": ""},
    "exptl_crystal_grow": {"crystal_id": "1"},
    "entity_src_gen": {"pdbx_src_id": "1"},
    "pdbx_contact_author": {"id": "1", "name_salutation": ""},
    "reflns_shell": {"pdbx_ordinal": "1", "pdbx_diffrn_id": "1"},
    "em_entity_assembly_molwt": {"id": "1", "entity_assembly_id": "1", "units": "MEGADALTONS"},
    "em_entity_assembly_naturalsource": {"id": "1", "entity_assembly_id": "1"},
    "em_buffer": {"id": "1", "specimen_id": "1"},
    "em_sample_support": {"id": "1", "specimen_id": "1"},
    "em_vitrification": {"id": "1", "specimen_id": "1", "entry_id": ""},
    "em_imaging": {"id": "1", "specimen_id": "1", "entry_id": "", "mode": "BRIGHT FIELD",
                   "illumination_mode": "FLOOD BEAM"},
    "em_image_recording": {"id": "1", "imaging_id": "1"},
    "em_ctf_correction": {"id": "1", "em_image_processing_id": "1"},
}  # fmt: skip


def _complete_keys(categories: Categories) -> None:
    """Add the keys of categories that are there or have been asked for."""
    entry = next((v for v in categories["entry"]["id"] if v), None)
    for name, keys in KEYS.items():
        if name not in categories:
            continue
        table = categories[name]
        count = max(1, row_count(table))
        for key, value in keys.items():
            text = entry if key == "entry_id" else value or None
            numbered = key in ("id", "pdbx_ordinal", "pdbx_src_id") and value == "1" and name != "entity_src_gen"
            table.setdefault(key, [str(i + 1) if numbered else text for i in range(count)])


def find_missing(categories: Categories, requirements: Sequence[Requirement]) -> list[Missing]:
    """What nothing answers; a place for it is made in the categories."""
    polymers = [
        str(i)
        for i, kind in zip(categories["entity"]["id"], categories["entity"]["type"], strict=True)
        if kind == "polymer"
    ]
    missing = []
    for wanted in requirements:
        if wanted.each == POLYMER_ROWS:
            missing += _missing_of_polymers(categories, wanted, polymers)
            continue
        table = categories.setdefault(wanted.category, {})
        names = (wanted.item, *wanted.alternatives)
        if any(is_known(v) for name in names for v in table.get(name, [])):
            continue
        table.setdefault(wanted.item, [None] * max(1, row_count(table)))
        missing.append(Missing(requirement=wanted))
    _complete_keys(categories)
    return missing


def _missing_of_polymers(categories: Categories, wanted: Requirement, polymers: Sequence[str]) -> list[Missing]:
    if wanted.category == "entity_src_gen":
        methods = dict(zip(categories["entity"]["id"], categories["entity"]["src_method"], strict=True))
        sourced = {
            v for c in ("entity_src_nat", "pdbx_entity_src_syn") for v in categories.get(c, {}).get("entity_id", [])
        }
        polymers = [p for p in polymers if methods[p] in (None, "man") and p not in sourced]
        if not polymers:
            return []
    key = "id" if wanted.category == "entity" else "entity_id"
    table = categories.setdefault(wanted.category, {key: []})
    column = table.setdefault(key, [])
    for polymer in polymers:
        if polymer not in column:
            for values in table.values():
                values.append(None)
            column[-1] = polymer
    values = table.setdefault(wanted.item, [None] * row_count(table))
    about = _about_polymers(categories)
    return [
        Missing(requirement=wanted, row=polymer, about=about.get(polymer, ""))
        for polymer in polymers
        if not is_known(values[column.index(polymer)])
    ]


def _about_polymers(categories: Categories) -> dict[str, str]:
    """Kind and chains of each polymer entity, as far as they are known: "DNA, chain A"."""
    table = categories.get("entity_poly", {})
    kinds = {"polypeptide(L)": "protein", "polydeoxyribonucleotide": "DNA", "polyribonucleotide": "RNA"}
    found = {}
    for k, entity in enumerate(table.get("entity_id", [])):
        kind, chains = (table.get(item, [None] * (k + 1))[k] for item in ("type", "pdbx_strand_id"))
        parts = [kinds.get(str(kind), str(kind))] if is_known(kind) else []
        parts += [f"chain {chains}"] if is_known(chains) else []
        found[str(entity)] = ", ".join(parts)
    return found


def template(missing: Sequence[Missing]) -> str:
    """YAML to fill in and give back: one line for each missing item, with what it is and an example."""
    lines = ["# Fill in what is known and give this file back with --metadata. Empty lines are left as ?.", ""]
    groups: dict[str, dict[str, list[Missing]]] = {}
    for item in missing:
        groups.setdefault(item.requirement.category, {}).setdefault(item.row, []).append(item)
    for category, by_row in groups.items():
        lines.append(f"{category}:")
        for row, items in by_row.items():
            lead = "  - " if row or category in ("audit_author", "reflns_shell") else "  "
            about = next((f"  # {m.about}" for m in items if m.about), "")
            texts = [f'{"id" if category == "entity" else "entity_id"}: "{row}"{about}'] if row else []
            for m in items:
                r = m.requirement
                texts.append(f"{r.item}:".ljust(32) + f"  # {r.what}; as: {r.example}")
            lines += [(lead if i == 0 or not lead.strip() else "    ") + text for i, text in enumerate(texts)]
    return "\n".join(lines) + "\n"
