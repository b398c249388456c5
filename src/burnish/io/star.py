"""STAR files as RELION reads and writes them: blocks with one table each, values kept as text.

Values stay text until somebody asks for numbers, so that what Burnish does not know survives a round trip unchanged.
Neither `starfile` (goes through pandas, turns values into numbers and their text is lost) nor `gemmi.cif` (refuses
RELION's unnamed and repeated blocks) does that with the row and line in its errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from burnish.core.errors import DataError
from burnish.io.atomic import write_text

_TOKEN = re.compile(r"""'([^']*)'(?=\s|$)|"([^"]*)"(?=\s|$)|(\S+)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StarTable:
    """One `data_` block: a loop, or a list of names with one value each.

    Attributes
    ----------
    name : of the block, without `data_`; may be empty.
    columns : column name without its underscore → values as text, all of one length.
    is_loop : False for a list of name–value pairs, where each column holds one value.
    source : file that the table was read from, for messages.
    first_line : line of the first row in that file, from 1.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    is_loop: bool = True
    source: Path | None = None
    first_line: int = 0
    row_lines: Sequence[int] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def place(self, row: int | None = None) -> str:
        """Where this table, or a row of it (from 0), stands: for messages."""
        table = f"{self.source or 'STAR'}, table '{self.name}'"
        if row is None:
            return table
        line = f" (line {self.row_lines[row]})" if len(self.row_lines) > row else ""
        return f"{table}, row {row + 1}{line}"

    def text(self, column: str) -> Sequence[str]:
        """Values of a column as they stand in the file."""
        if column not in self.columns:
            near = ", ".join(list(self.columns)[:6])
            raise DataError(f"{self.place()}: no column {column} (it has {near}, …); it is needed here")
        return self.columns[column]

    def floats(self, column: str, default: float | None = None) -> np.ndarray:
        """Values of a column as float64; `default` for every row where there is no such column."""
        if default is not None and column not in self.columns:
            return np.full(len(self), default)
        values = self.text(column)
        try:
            return np.array(values, dtype=np.float64)
        except ValueError:
            row = next(i for i, v in enumerate(values) if not _is_number(v))
            raise DataError(f"{self.place(row)}: {column} is '{values[row]}', expected a number") from None

    def ints(self, column: str, default: int | None = None) -> np.ndarray:
        """Values of a column as int64; numbers such as 3.0 count as whole."""
        values = self.floats(column, None if default is None else float(default))
        bad = np.flatnonzero(~(np.isfinite(values) & (values == np.round(values))))
        if len(bad):
            row = int(bad[0])
            raise DataError(f"{self.place(row)}: {column} is '{self.text(column)[row]}', expected a whole number")
        return values.astype(np.int64)

    def value(self, name: str) -> str:
        """The one value of a name in a list of pairs, or in a loop of one row."""
        values = self.text(name)
        if len(values) != 1:
            raise DataError(f"{self.place()}: {name} has {len(values)} values, expected one")
        return values[0]

    def take(self, rows: Iterable[int]) -> StarTable:
        """The table with these rows only, in this order."""
        chosen = [int(r) for r in rows]
        lines = [self.row_lines[r] for r in chosen] if len(self.row_lines) else ()
        return replace(self, columns={k: [v[r] for r in chosen] for k, v in self.columns.items()}, row_lines=lines)

    def with_columns(self, changes: Mapping[str, Iterable[object]], drop: Iterable[str] = ()) -> StarTable:
        """The table with columns replaced, or added at its end, and others left out."""
        gone = set(drop)
        columns = {k: v for k, v in self.columns.items() if k not in gone}
        columns |= {k: [_as_text(x) for x in v] for k, v in changes.items()}
        return replace(self, columns=columns)


@dataclass(frozen=True, slots=True)
class StarFile:
    """The tables of one file in file order."""

    tables: tuple[StarTable, ...]
    source: Path | None = None

    def __iter__(self) -> Iterator[StarTable]:
        return iter(self.tables)

    def __contains__(self, name: object) -> bool:
        return any(t.name == name for t in self.tables)

    def __getitem__(self, name: str) -> StarTable:
        for table in self.tables:
            if table.name == name:
                return table
        found = ", ".join(f"'{t.name}'" for t in self.tables) or "none"
        raise DataError(f"{self.source or 'STAR'}: no table '{name}' (tables here: {found})")


def make_table(name: str, columns: Mapping[str, Iterable[object]], *, is_loop: bool = True) -> StarTable:
    """Return a table from values of any kind; a list of pairs takes one value a name.

    Examples
    --------
    >>> make_table("fsc", {"rlnSpectralIndex": [0, 1]}).text("rlnSpectralIndex")
    ['0', '1']
    """
    return StarTable(name=name, columns={k: [_as_text(x) for x in v] for k, v in columns.items()}, is_loop=is_loop)


def read_star(path: Path) -> StarFile:
    """Read every table of a STAR file.

    Raises
    ------
    DataError : no such file, no table in it, or a row with the wrong number of values; the message names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name of the STAR file") from None
    tables: list[StarTable] = []
    at = 0
    while at < len(lines):
        if lines[at].lower().startswith("data_"):
            table, at = _read_table(path, lines, at)
            tables.append(table)
        else:
            at += 1
    if not tables:
        raise DataError(f"{path}: no 'data_' block found; expected a STAR file")
    return StarFile(tuple(tables), path)


def write_star(path: Path, tables: Iterable[StarTable], *, comments: Iterable[str] = ()) -> None:
    """Write tables as RELION 3.1 does, with `# version 30001` before each."""
    pieces = [f"# {line}\n" for line in comments]
    pieces += [_format(table) for table in tables]
    write_text(path, "".join(pieces))


def _read_table(path: Path, lines: list[str], start: int) -> tuple[StarTable, int]:
    name = lines[start].split()[0][5:]
    at = start + 1
    while at < len(lines) and _is_blank(lines[at]):
        at += 1
    if at < len(lines) and lines[at].strip().lower() == "loop_":
        return _read_loop(path, lines, at + 1, name)
    return _read_pairs(path, lines, at, name)


def _read_loop(path: Path, lines: list[str], at: int, name: str) -> tuple[StarTable, int]:
    names: list[str] = []
    while at < len(lines) and (_is_blank(lines[at]) or lines[at].lstrip().startswith("_")):
        if not _is_blank(lines[at]):
            names.append(lines[at].split()[0][1:])
        at += 1
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise DataError(f"{path}, table '{name}': column {twice} is there twice")
    rows: list[list[str]] = []
    numbers: list[int] = []
    first = at + 1
    while at < len(lines):
        line = lines[at]
        values = _split(line)
        if values:
            if values[0].lower().startswith("data_"):
                break
            if len(values) != len(names):
                raise DataError(
                    f"{path}, table '{name}', row {len(rows) + 1} (line {at + 1}): {len(values)} values for "
                    f"{len(names)} columns; the row is cut short or a name with spaces lacks its quotes"
                )
            rows.append(values)
            numbers.append(at + 1)
        at += 1
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {n: [] for n in names}
    return StarTable(name=name, columns=columns, source=path, first_line=first, row_lines=numbers), at


def _read_pairs(path: Path, lines: list[str], at: int, name: str) -> tuple[StarTable, int]:
    columns: dict[str, list[str]] = {}
    first = at + 1
    while at < len(lines) and not lines[at].lower().startswith("data_"):
        values = _split(lines[at])
        if values:
            if not values[0].startswith("_") or len(values) != 2:
                raise DataError(
                    f"{path}, table '{name}' (line {at + 1}): '{lines[at].strip()[:60]}', expected a name and a value"
                )
            columns[values[0][1:]] = [values[1]]
        at += 1
    return StarTable(name=name, columns=columns, is_loop=False, source=path, first_line=first), at


def _split(line: str) -> list[str]:
    """Values of a line; quotes hold spaces together, a # that starts a value starts a comment."""
    if "'" not in line and '"' not in line:
        values = line.split()
        if "#" in line:
            for i, value in enumerate(values):
                if value.startswith("#"):
                    return values[:i]
        return values
    found: list[str] = []
    for match in _TOKEN.finditer(line):
        if match[3] is not None and match[3].startswith("#"):
            break
        found.append(next(g for g in match.groups() if g is not None))
    return found


def _is_blank(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _format(table: StarTable) -> str:
    head = f"\n# version 30001\n\ndata_{table.name}\n\n"
    if not table.is_loop:
        return head + "".join(f"_{k:<50} {_quoted(v[0])}\n" for k, v in table.columns.items()) + " \n"
    names = "".join(f"_{k} #{i + 1} \n" for i, k in enumerate(table.columns))
    values = [[_quoted(x) for x in v] for v in table.columns.values()]
    padded = []
    for column in values:
        width = max((len(x) for x in column), default=0)
        padded.append([x.rjust(width) for x in column])
    rows = "".join(" ".join(row) + " \n" for row in zip(*padded, strict=True))
    return f"{head}loop_ \n{names}{rows} \n"


def _quoted(value: str) -> str:
    """Quote what a reader would otherwise split, drop or take for a comment."""
    if value == "":
        return '""'
    if any(c.isspace() for c in value) or value.startswith(("#", '"', "'", "_")):
        return f"'{value}'" if '"' in value else f'"{value}"'
    return value


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return _float_text(float(value))
    raise TypeError(f"cannot write {type(value).__name__} to a STAR file")


def _float_text(value: float) -> str:
    """Six decimals where these hold the value, else seven significant digits."""
    if value == 0 or 1e-3 <= abs(value) < 1e8:
        return f"{value:.6f}"
    return f"{value:.6e}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
