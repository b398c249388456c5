"""Events on a terminal: messages to standard error, one progress bar with the time left, a summary at the end."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from burnish.core import events
from burnish.core.terms import number_line, term


class Terminal:
    """A listener that draws; also a context, so that the bar is taken down whatever happens."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self._name = name
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Terminal:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Message(text, "warning"):
                self._console.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)
            case events.Message(text) if not self._quiet:
                self._console.print(escape(text), soft_wrap=True)
            case events.Progress(stage, done, total):
                task = self._tasks.get(stage)
                if task is None:
                    task = self._tasks[stage] = self._bar.add_task(stage, total=total)
                self._bar.update(task, completed=done, total=total, visible=total is None or done < total)
            case events.Metrics(series, step, values) if not self._quiet:
                self._console.print(number_line(series, step, values), soft_wrap=True, markup=False)

    def error(self, text: str) -> None:
        """Print the one line that a failed command leaves."""
        self._console.print(f"[red]burnish {self._name}:[/] {escape(text)}", soft_wrap=True)

    def summary(self, summary: Mapping[str, Any]) -> None:
        """Print a summary on standard output, in its order: single values as tables, lists of records as one each.

        Other nested parts are left to the files.
        """
        console = Console(highlight=False, markup=False, emoji=False)  # names of files may hold brackets and colons
        table = _single_values()
        for name, value in summary.items():
            if isinstance(value, float):
                table.add_row(term(name), f"{value:.5g}")
            elif isinstance(value, int | str | bool):
                table.add_row(term(name), str(value))
            elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
                records = Table(*(term(str(key)) for key in value[0]), box=None, pad_edge=False)
                for record in value:
                    records.add_row(*(str(v) for v in record.values()))
                if table.row_count:
                    console.print(table)
                    table = _single_values()
                console.print(records)
        if table.row_count:
            console.print(table)


def _single_values() -> Table:
    return Table(show_header=False, box=None, pad_edge=False)
