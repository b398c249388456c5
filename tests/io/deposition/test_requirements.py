"""What must be filled in: found, listed, written as a template and read back."""

import pytest

from burnish.core.errors import DataError, InputError
from burnish.io.deposition.categories import fill, number, one_row, rows
from burnish.io.deposition.requirements import CRYSTAL, find_missing, lay_over, read_metadata, template


def minimal():
    return {
        "entry": one_row({"id": "TEST"}),
        "entity": rows(("id", "type", "src_method"), [("1", "polymer", None), ("2", "water", "nat")]),
    }


def test_everything_is_missing_from_an_empty_entry_and_nothing_from_a_complete_one(tmp_path):
    categories = minimal()
    missing = find_missing(categories, CRYSTAL)
    assert {m.requirement for m in missing} == set(CRYSTAL)
    filled = []
    for line in template(missing).splitlines():
        key, hash_, rest = line.partition(":")
        example = rest.partition("as: ")[2]
        filled.append(f'{key}: "{example}"' if hash_ and "as: " in rest else line)
    path = tmp_path / "filled.yaml"
    path.write_text("\n".join(filled))
    lay_over(categories, read_metadata(path))
    assert find_missing(categories, CRYSTAL) == []
    assert categories["entity"]["pdbx_description"] == ["Ribonuclease Sa", None]
    assert categories["entity_src_gen"]["pdbx_gene_src_scientific_name"] == ["Homo sapiens"]
    assert categories["diffrn"]["ambient_temp"] == ["100"]


def test_an_unfilled_template_changes_nothing(tmp_path):
    categories = minimal()
    path = tmp_path / "empty.yaml"
    path.write_text(template(find_missing(categories, CRYSTAL)))
    given = read_metadata(path)
    assert set(given) <= {"entity", "entity_src_gen"}  # only the ids that are written out
    before = {k: {i: list(v) for i, v in c.items()} for k, c in categories.items()}
    lay_over(categories, given)
    assert categories == before


def test_an_alternative_statistic_will_do():
    categories = minimal() | {"reflns": one_row({"pdbx_Rrim_I_all": "0.07"})}
    names = {m.requirement.item for m in find_missing(categories, CRYSTAL) if m.requirement.category == "reflns"}
    assert names == {"pdbx_redundancy", "pdbx_netI_over_sigmaI", "pdbx_CC_half"}


def test_a_natural_source_needs_no_gene():
    categories = minimal()
    categories["entity"]["src_method"] = ["nat", "nat"]
    assert not any(m.requirement.category == "entity_src_gen" for m in find_missing(categories, CRYSTAL))


@pytest.mark.parametrize(
    "text, message", [("a: [b", "no YAML"), ("struct: title", "expected items"), ("- x", "top level")]
)
def test_metadata_of_another_form(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_metadata(path)
    with pytest.raises(InputError, match="no such file"):
        read_metadata(tmp_path / "missing.yaml")


def test_values_that_are_known_stay():
    categories = {"diffrn": one_row({"id": "1", "ambient_temp": "100"})}
    fill(categories, "diffrn", {"ambient_temp": "293", "details": "x"})
    assert categories["diffrn"] == {"id": ["1"], "ambient_temp": ["100"], "details": ["x"]}


def test_numbers_have_no_minus_zero_and_no_nan():
    assert [number(v) for v in (-0.0001, float("nan"), float("inf"), None, 1.23456)] == [
        "0.000",
        None,
        None,
        None,
        "1.235",
    ]


def test_entities_are_told_apart_by_kind_and_chain():
    categories = minimal()
    categories["entity"] = rows(
        ("id", "type", "src_method"), [("1", "polymer", None), ("2", "polymer", None), ("3", "water", "nat")]
    )
    categories["entity_poly"] = rows(
        ("entity_id", "type", "pdbx_strand_id"),
        [("1", "polydeoxyribonucleotide", "A"), ("2", "polypeptide(L)", "B,C")],
    )
    missing = find_missing(categories, CRYSTAL)
    named = [m.name for m in missing if m.requirement.item == "src_method"]
    assert named == ["_entity.src_method (entity 1: DNA, chain A)", "_entity.src_method (entity 2: protein, chain B,C)"]
    text = template(missing)
    assert '  - id: "1"  # DNA, chain A\n' in text
    assert '  - entity_id: "2"  # protein, chain B,C\n' in text
