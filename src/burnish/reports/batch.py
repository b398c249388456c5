"""The summary of a batch: one row a data set, the spread of each number, failures first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.core.terms import term
from burnish.reports.page import Block, Note, Numbers, Page, Section, Table

_FIRST = ("r_work", "r_free", "bond_rmsd", "angle_rmsd", "d_min", "resolution")  # in this order, where there are any


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one data set.

    Attributes
    ----------
    group : the set that a scan made this one of.
    state : waiting, done, done before, or failed.
    summary : as the command gave it.
    cpu_seconds : NaN where it is not known.
    error : one line; empty where there is none.
    """

    name: str
    group: str
    state: str
    summary: Mapping[str, Any]
    cpu_seconds: float
    error: str

    def exact(self, name: str) -> str:
        """A value of the summary with all its digits."""
        value = self.summary.get(name)
        return "" if value is None else f"{value!r}" if isinstance(value, float) else str(value)

    def text(self, name: str) -> str:
        """A value of the summary to be read by people."""
        value = self.summary.get(name)
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def numbers_of(results: Sequence[Result]) -> list[str]:
    """Names of the numbers that any set has, the ones that are looked at first in front."""
    found = dict.fromkeys(
        name
        for r in results
        for name, value in r.summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    return sorted(found, key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST))


def spread_of_groups(results: Sequence[Result]) -> list[dict[str, str]]:
    """Mean and standard deviation over the runs of each set that a scan repeated."""
    groups: dict[str, list[Result]] = {}
    for r in results:
        groups.setdefault(r.group, []).append(r)
    rows = []
    for group, members in groups.items():
        if len(members) < 2:
            continue
        row = {"set": group, "runs": str(len(members))}
        for name in numbers_of(members):
            values = [float(r.summary[name]) for r in members if r.summary.get(name) is not None]
            if len(values) > 1 and name in _FIRST:
                row[name] = f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"
        rows.append(row)
    return rows


def make_page(command: str, source: str, results: Sequence[Result], links: Mapping[str, str]) -> Page:
    """The page of a batch.

    Parameters
    ----------
    links : page of each set that has one, relative to this page.
    """
    count = {s: sum(r.state == s for r in results) for s in ("done", "done before", "failed", "waiting")}
    done = count["done"] + count["done before"]
    lead = f"{done} of {len(results)} data sets are done, {count['failed']} failed, {count['waiting']} wait."
    names = numbers_of(results)
    sections = [Section("", _overview(results, names))]
    failed = [r for r in results if r.state == "failed"]
    if failed:
        rows = [(r.name, r.error) for r in failed]
        sections.append(Section("What failed", [Table(("data set", "why"), rows, links=_links(failed, links))]))
    groups = spread_of_groups(results)
    if groups:
        head = list(dict.fromkeys(k for row in groups for k in row))
        sections.append(Section("Scans", [Table(head, [[row.get(k, "") for k in head] for row in groups])]))
    rows_of_all = [(r.name, r.state, *(r.text(n) for n in names)) for r in results]
    head_of_all = ("data set", "state", *(term(n) for n in names))
    sections.append(Section("All data sets", [Table(head_of_all, rows_of_all, links=_links(results, links))]))
    return Page(title=f"Batch: {command} of {source}", lead=lead, sections=sections)


def _links(results: Sequence[Result], links: Mapping[str, str]) -> list[str]:
    return [links.get(r.name, "") for r in results]


def _overview(results: Sequence[Result], names: Sequence[str]) -> list[Block]:
    items = []
    for name in (n for n in names if n in _FIRST):
        values = [float(r.summary[name]) for r in results if r.summary.get(name) is not None]
        values = [v for v in values if math.isfinite(v)]
        if values:
            items.append((f"{term(name)}, median", f"{statistics.median(values):.4g}"))
    seconds = [r.cpu_seconds for r in results if r.state == "done"]
    if seconds:
        items.append(("processor time, median", f"{statistics.median(seconds):.1f} s"))
    return [Numbers(items)] if items else [Note("Nothing is done yet.")]
