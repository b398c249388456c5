"""Where to look first: residues of the chain, then ligands, then all waters in one line."""

from typing import Any

from burnish.reports.page import Note, Table
from burnish.reports.worklist import MOST, WORST_WATERS, worklist


def row(number: int, name: str, kind: str = "protein", **found: Any) -> dict[str, Any]:
    return {"chain": "A", "number": str(number), "name": name, "altloc": "", "kind": kind, "rscc": 0.95, **found}


def record(rows: list[dict[str, Any]], **lists: Any) -> dict[str, Any]:
    return {"by_residue": rows, "clashes": [], "difference_peaks": [], "flips": [], **lists}


def rows_of(found: dict[str, Any]) -> list[list[str]]:
    (table,) = worklist(found).blocks
    assert isinstance(table, Table)
    return [list(r) for r in table.rows]


def test_a_good_model_gives_nothing_to_look_at() -> None:
    (note,) = worklist(record([row(1, "ALA")])).blocks
    assert isinstance(note, Note)
    assert note.text == "Nothing stands out."


def test_waters_are_one_line_after_all_others_whatever_is_wrong_with_them() -> None:
    waters = [row(100 + k, "HOH", "water", rscc=0.70 - 0.05 * k) for k in range(WORST_WATERS + 3)]
    ligand = row(50, "PEG", "other", rscc=0.55)
    found = rows_of(record([*waters, ligand, row(7, "LYS", rscc=0.78), row(8, "GLU", ramachandran="outlier")]))
    assert [r[0] for r in found] == ["A 8 GLU", "A 7 LYS", "A 50 PEG", f"{len(waters)} waters"]
    assert found[-1][2].startswith("A 107 RSCC 0.35, A 106 RSCC 0.40, ")
    assert found[-1][2].endswith(", and 3 more")


def test_the_worst_comes_first_and_the_heaviest_reason_with_it() -> None:
    found = rows_of(record([row(1, "SER", rscc=0.6), row(2, "ASN", rscc=0.7, ramachandran="outlier")]))
    assert [r[0] for r in found] == ["A 2 ASN", "A 1 SER"]
    assert found[0][2] == "Ramachandran outlier; RSCC 0.70"


def test_clashes_peaks_and_flips_count_for_their_residues() -> None:
    lists = {
        "clashes": [
            {"first": "A 1 LEU HD11", "second": "A 2 ILE CG2", "overlap": 0.8},
            {"first": "A 1 LEU CD1", "second": "A 3 VAL CB", "overlap": 0.6},
            {"first": "A 2 ILE O", "second": "A 4 ARG N", "overlap": 0.45},
        ],
        "difference_peaks": [
            {"near": "A 3 VAL CB", "sigma": -7.0, "distance": 1.1, "xyz": [0, 0, 0]},
            {"near": "A 4 ARG N", "sigma": 9.0, "distance": 6.0, "xyz": [0, 0, 0]},
        ],
        "flips": [{"residue": "A 5 ASN", "gain": 3.0}],
    }
    names = ["LEU", "ILE", "VAL", "ARG", "ASN"]
    found = {r[0]: r[2] for r in rows_of(record([row(k, n) for k, n in enumerate(names, start=1)], **lists))}
    assert found == {
        "A 1 LEU": "clash with A 2 ILE (0.8 Å) and 1 more",
        "A 2 ILE": "clash with A 1 LEU (0.8 Å)",
        "A 3 VAL": "hole -7.0 σ 1.1 Å away; clash with A 1 LEU (0.6 Å)",
        "A 5 ASN": "bonds better turned over, by 3.0",
    }


def test_a_long_list_is_cut_and_says_so() -> None:
    (table,) = worklist(record([row(k, "SER", rscc=0.5) for k in range(MOST + 5)])).blocks
    assert isinstance(table, Table)
    assert len(table.rows) == MOST
    assert table.caption == f"The {MOST} worst of {MOST + 5} residues."
