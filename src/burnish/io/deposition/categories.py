"""Categories of an mmCIF block as plain columns, so that several sources can be laid over each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import gemmi

from burnish.io.atomic import write_aside

Value = str | None | bool  # text; None is unknown (?), False is not applicable (.)
Category = dict[str, list[Value]]
Categories = dict[str, Category]

# what readers expect first; all else follows in the order it came, and the atoms last
FIRST = (
    "entry", "audit_conform", "database_2", "pdbx_database_status", "audit_author", "citation", "citation_author",
    "pdbx_contact_author", "pdbx_audit_support", "struct", "struct_keywords", "cell", "symmetry", "entity",
    "entity_src_gen", "entity_src_nat", "pdbx_entity_src_syn", "entity_poly", "entity_poly_seq", "struct_ref",
    "struct_ref_seq", "struct_asym", "pdbx_poly_seq_scheme", "chem_comp", "exptl", "exptl_crystal",
    "exptl_crystal_grow", "diffrn", "diffrn_radiation", "diffrn_radiation_wavelength", "diffrn_source",
    "diffrn_detector", "reflns", "reflns_shell", "refine", "refine_ls_shell", "refine_hist", "refine_ls_restr",
    "pdbx_refine_tls", "pdbx_refine_tls_group", "software",
)  # fmt: skip
LAST = ("atom_type", "atom_site", "atom_site_anisotrop")


def categories_of(block: gemmi.cif.Block) -> Categories:
    """All categories of a block that have a value in them."""
    found: Categories = {}
    for name in block.get_mmcif_category_names():
        columns: Category = block.get_mmcif_category(name)
        if row_count(columns):
            found[name.strip("_.")] = {item: list(values) for item, values in columns.items()}
    return found


def write_block(path: Path, name: str, categories: Categories) -> None:
    """Write the categories as an mmCIF file of one block."""
    document = gemmi.cif.Document()
    block = document.add_new_block(name)
    for category in _ordered(categories):
        block.set_mmcif_category(f"_{category}.", categories[category])
    with write_aside(path) as aside:
        document.write_file(str(aside), gemmi.cif.WriteOptions(gemmi.cif.Style.Aligned))


def _ordered(categories: Iterable[str]) -> list[str]:
    names = [n for n in categories if n not in LAST]
    names.sort(key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST))
    return names + [n for n in LAST if n in categories]


def row_count(category: Category) -> int:
    """Number of rows."""
    return len(next(iter(category.values()))) if category else 0


def one_row(items: Mapping[str, object]) -> Category:
    """A category of one row; None stays unknown, numbers become text."""
    return {name: [_text(value)] for name, value in items.items()}


def rows(items: Sequence[str], table: Iterable[Sequence[object]]) -> Category:
    """A category of many rows."""
    listed = list(table)
    return {name: [_text(row[i]) for row in listed] for i, name in enumerate(items)}


def _text(value: object) -> Value:
    if value is None or value is False or isinstance(value, str):
        return value
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float | None, digits: int = 3) -> Value:
    """A number as text, None where it is not finite."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0.0 else text


def is_known(value: Value) -> bool:
    """Whether a value says something."""
    return isinstance(value, str) and value.strip() not in ("", "?", ".")


def value_of(categories: Categories, category: str, item: str) -> str | None:
    """The first known value of an item."""
    values = categories.get(category, {}).get(item, [])
    return next((v for v in values if isinstance(v, str) and is_known(v)), None)


def fill(categories: Categories, category: str, items: Mapping[str, object], *, over: bool = False) -> None:
    """Set items of the first row of a category where they are not known; `over` replaces what is there."""
    table = categories.setdefault(category, {})
    count = max(1, row_count(table))
    for name, value in items.items():
        column = table.setdefault(name, [None] * count)
        new = _text(value)
        if new is not None and (over or not is_known(column[0])):
            column[0] = new
