"""The page of automated changes."""

from typing import Any

from burnish.reports.moves import moves_page
from burnish.reports.page import Picture, Table


def line(move: int, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "round": 1,
        "move": move,
        "kind": kind,
        "residue": f"A {move}",
        "why": "a reason to look",
        "reason": "its evidence",
        "accepted": True,
        "before": None,
        "after": None,
        "picture": f"{move}.png",
        **more,
    }


def blocks(lines: list[dict[str, Any]], kind: type) -> list[Any]:
    page = moves_page(lines, [], "model.cif", {x["picture"]: b"png" for x in lines}, "cycle1")
    return [b for section in page.sections for b in section.blocks if isinstance(b, kind)]


def test_pictures_of_waters_come_after_those_of_residues() -> None:
    lines = [line(1, "water dropped"), line(2, "water dropped"), line(3, "rotamer"), line(4, "water added")]
    assert [p.alt.split()[1] for p in blocks(lines, Picture)] == ["3", "1", "2", "4"]


def test_density_has_a_column_only_where_it_was_compared() -> None:
    conformer, rotamer = line(1, "second conformer"), line(2, "rotamer")
    assert "Density, σ" not in blocks([conformer], Table)[0].head
    compared = {**rotamer, "before": {"mean_density": 1.0}, "after": {"mean_density": 2.5}}
    table = blocks([conformer, compared], Table)[0]
    assert [row[-1] for row in table.rows] == ["", "1.0 → 2.5"]
