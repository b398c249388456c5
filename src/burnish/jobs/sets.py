"""Data sets of a batch: a table or a pattern of folders becomes, for each set, a name and options as text."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from burnish.core.errors import DataError, InputError
from burnish.options.base import names_of
from burnish.options.batch import is_table

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
_OWN = {"name", "out"}  # columns that are not options of the command
# Files looked for in each folder where --find says nothing, by option; the first pattern that matches.
USUAL_FILES = {"model": ("model.cif", "model.pdb", "*.pdb", "*.cif"), "data": ("data.mtz", "*.mtz", "*-sf.cif")}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One set.

    Attributes
    ----------
    name : also of its folder.
    group : name of the set that a scan made this one of.
    given : options of the command.
    place : where it comes from, for messages.
    """

    name: str
    group: str
    given: Mapping[str, Any]
    place: str


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the command's options model says of its options."""

    paths: frozenset[str]
    several: frozenset[str]
    known: Mapping[str, str]  # every name of an option, and the one that it has in the record

    def named(self, text: str, place: str) -> str:
        """The option that a column or an assignment names."""
        name = text.strip().lstrip("-").replace("-", "_")
        if name not in self.known:
            takes = ", ".join(sorted({*self.known.values()} - _OWN))
            raise InputError(f"{place}: no option '{text}'; a set takes {takes}")
        return self.known[name]


def read_sets(
    sets: str,
    model: type[BaseModel],
    *,
    find: Sequence[str] = (),
    given: Sequence[str] = (),
    scan: Sequence[str] = (),
) -> list[DataSet]:
    """Read the sets of a batch.

    Parameters
    ----------
    sets : table, or pattern of folders.
    model : options of the command.
    find, given, scan : OPTION=PATTERN, OPTION=VALUE and OPTION=VALUE,VALUE as on the command line.

    Raises
    ------
    InputError, DataError : an unknown option, an unreadable table, a name used twice, no set at all.
    """
    fields = _fields_of(model)
    common = dict(_assignment(item, fields, "--set") for item in given)
    if is_table(sets):
        found = _from_table(Path(sets), fields)
    else:
        patterns = {name: (str(value),) for name, value in (_assignment(i, fields, "--find") for i in find)}
        found = _from_folders(sets, fields, {**{k: v for k, v in USUAL_FILES.items() if k in fields.known}, **patterns})
    if not found:
        raise DataError(f"{sets}: no data set; expected at least one row, or one folder that matches")
    complete = [_completed(s, common, fields) for s in found]
    scanned = [s for one in complete for s in _scanned(one, scan, fields)]
    _check_names(sets, scanned)
    return scanned


def _fields_of(model: type[BaseModel]) -> _Fields:
    paths, several = set(), set()
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [a for k in kinds for a in (k, *get_args(k)) if a is not NoneType]
        if Path in inner:
            paths.add(name)
        if any((get_origin(k) or k) in (tuple, list) for k in kinds):
            several.add(name)
    known = {given: name for name, field in model.model_fields.items() for given in names_of(name, field)}
    return _Fields(frozenset(paths), frozenset(several), known)


def _assignment(item: str, fields: _Fields, flag: str) -> tuple[str, Any]:
    name, _, value = item.partition("=")
    return fields.named(name, flag), value


def _from_table(path: Path, fields: _Fields) -> list[DataSet]:
    rows = _read_json(path) if path.suffix.lower() == ".json" else _read_columns(path)
    found = []
    for number, row in rows:
        place = f"{path}, {'entry' if path.suffix.lower() == '.json' else 'line'} {number}"
        values = {str(k).strip(): v for k, v in row.items() if k is not None and v not in (None, "")}
        given = {fields.named(k, place): v for k, v in values.items() if k != "name"}
        if "out" in given:
            raise DataError(f"{place}: option 'out' is not for batches; each set gets a folder in --out")
        name = str(values.get("name", "")) or _name_from(given, f"set{number}")
        found.append(DataSet(name=name, group=name, given=given, place=place))
    if found and not any("name" in row for _, row in rows):
        found = _named_apart(found)
    base = path.resolve().parent
    return [_with_paths(s, fields, base) for s in found]


def _read_columns(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            rows = []
            for row in reader:
                if None in row:
                    raise DataError(
                        f"{path}, line {reader.line_num}: more values than columns; quote a value with commas"
                    )
                if any(v and v.strip() for v in row.values()):
                    rows.append((reader.line_num, {k: v.strip() if v else v for k, v in row.items()}))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a table (CSV, JSON) of the sets") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a table of text ({error}); expected columns parted by commas or tabs") from None
    return rows


def _read_json(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a table (CSV, JSON) of the sets") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(f"{path}: expected a list of objects, one a data set")
    return list(enumerate(content, 1))


def _from_folders(pattern: str, fields: _Fields, patterns: Mapping[str, Sequence[str]]) -> list[DataSet]:
    given = Path(pattern)
    start = Path(given.anchor) if given.is_absolute() else Path()
    text = str(given.relative_to(given.anchor) if given.is_absolute() else given)
    folders = sorted(p for p in start.glob(text) if p.is_dir())
    found = []
    for folder in folders:
        values: dict[str, Any] = {}
        for option, choices in patterns.items():
            matches = next((m for c in choices if (m := sorted(folder.glob(c)))), [])
            matches = [m for m in matches if str(m) not in values.values()]
            if matches:
                values[option] = [str(m) for m in matches] if option in fields.several else str(matches[0])
        found.append(DataSet(name=folder.name, group=folder.name, given=values, place=str(folder)))
    return [_with_paths(s, fields, Path.cwd()) for s in found]


def _with_paths(one: DataSet, fields: _Fields, base: Path) -> DataSet:
    """Files by their full names: from the current folder, else from the table's."""
    given = {
        name: _split(value) if name in fields.several and isinstance(value, str) else value
        for name, value in one.given.items()
    }
    for name in fields.paths & set(given):
        value = given[name]
        given[name] = [_located(v, base) for v in value] if isinstance(value, list) else _located(value, base)
    return DataSet(name=one.name, group=one.group, given=given, place=one.place)


def _located(value: Any, base: Path) -> str:
    path = Path(str(value)).expanduser()
    return str(path.absolute() if path.exists() or path.is_absolute() else base / path)


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[;\s]+", text) if part]


def _completed(one: DataSet, common: Mapping[str, Any], fields: _Fields) -> DataSet:
    extra = DataSet(name="", group="", given={k: v for k, v in common.items() if k not in one.given}, place="")
    added = _with_paths(extra, fields, Path.cwd()).given
    return DataSet(name=one.name, group=one.group, given={**added, **one.given}, place=one.place)


def _scanned(one: DataSet, scans: Iterable[str], fields: _Fields) -> list[DataSet]:
    """The set once for each combination of values."""
    choices = []
    for item in scans:
        name, values = _assignment(item, fields, "--scan")
        choices.append([(name, v.strip()) for v in str(values).split(",") if v.strip()])
    if not choices:
        return [one]
    found = []
    for combination in itertools.product(*choices):
        suffix = "_".join(f"{name.replace('_', '-')}-{value}" for name, value in combination)
        found.append(
            DataSet(
                name=f"{one.name}_{suffix}", group=one.name, given={**one.given, **dict(combination)}, place=one.place
            )
        )
    return found


def _name_from(given: Mapping[str, Any], otherwise: str) -> str:
    first = given.get("data") or given.get("model") or given.get("half1")
    return Path(str(first)).stem if first else otherwise


def _named_apart(found: list[DataSet]) -> list[DataSet]:
    """Names that several sets would share become those of their folders, or get numbers."""
    shared = Counter(s.name for s in found)
    seen: Counter[str] = Counter()
    apart = []
    for one in found:
        name = one.name
        if shared[name] > 1:
            first = one.given.get("data") or one.given.get("model")
            folder = Path(str(first)).parent.name if first else ""
            name = folder if _NAME.match(folder) else name
        seen[name] += 1
        name = name if seen[name] == 1 and name else f"{name or 'set'}_{seen[name]}"
        apart.append(DataSet(name=name, group=name, given=one.given, place=one.place))
    return apart


def _check_names(sets: str, found: Sequence[DataSet]) -> None:
    count = Counter(s.name for s in found)
    for one in found:
        if not _NAME.match(one.name):
            raise DataError(
                f"{one.place}: name {one.name!r}; letters, digits and . _ + - can stand in the name of a folder; "
                "give the table a column name"
            )
        if count[one.name] > 1:
            raise DataError(f"{one.place}: the name {one.name!r} is used {count[one.name]} times in {sets}")
