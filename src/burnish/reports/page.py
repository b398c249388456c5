"""Report pages: one HTML file with everything in it, no scripts, all text escaped.

A page is records; `render` turns them into text. Workflows write it, since this room does no file I/O.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Literal

from burnish import __version__


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that the reader should not miss."""

    text: str
    kind: Literal["info", "good", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The few numbers that matter most, as (label, value) with the unit in the value."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; cells that are numbers align to the right. `more` folds it away.

    `links` are where the first cells of the rows lead to, relative to the page; "" for nowhere.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    more: bool = False
    links: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG or SVG image with its caption; `alt` says what it shows to those who cannot see it."""

    image: bytes
    caption: str
    alt: str = ""
    wide: bool = True


Block = Text | Note | Numbers | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands under it."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """One report.

    Attributes
    ----------
    title : what was done, to what.
    lead : one or two sentences that say how it came out.
    sections : in reading order; a block list without heading may open the page as the section with heading "".
    footer : where it comes from (job folder, time), beside the version, which is always there.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str = ""


def render(page: Page) -> str:
    """Return the page as one self-contained HTML text.

    Examples
    --------
    >>> html = render(Page("Mask", "It covers 12 % of the box.", [Section("Result", [Text("a < b")])]))
    >>> "a &lt; b" in html, "<script" in html
    (True, False)
    """
    return _template().substitute(
        title=_said(page.title),
        lead=_said(page.lead),
        sections="\n".join(_section(section) for section in page.sections),
        footer=" · ".join(filter(None, (_said(page.footer), f"Burnish {__version__}"))),
    )


@cache
def _template() -> Template:
    return Template(files("burnish.reports").joinpath("page.html").read_text(encoding="utf-8"))


def _section(section: Section) -> str:
    heading = [f"<h2>{_said(section.heading)}</h2>"] if section.heading else []
    return "\n".join(["<section>", *heading, *(_block(block) for block in section.blocks), "</section>"])


def _block(block: Block) -> str:
    """One block as HTML."""
    if isinstance(block, Text):
        return f"<p>{_said(block.text)}</p>"
    if isinstance(block, Note):
        start = "<b>Look here: </b>" if block.kind == "warning" else ""
        return f'<p class="note {block.kind}">{start}{_said(block.text)}</p>'
    if isinstance(block, Numbers):
        items = [f"<div><dt>{_said(label)}</dt><dd>{_said(value)}</dd></div>" for label, value in block.items]
        return "\n".join(["<dl>", *items, "</dl>"])
    if isinstance(block, Picture):
        image = f'<img src="{_data_uri(block.image)}" alt="{_said(block.alt or block.caption)}">'
        kind = ' class="wide"' if block.wide else ""
        caption = f"<figcaption>{_said(block.caption)}</figcaption>"
        return f"<figure{kind}>{image}{caption}</figure>"
    if block.more:
        return f"<details><summary>{_said(block.caption or 'Table')}</summary>{_table(block)}</details>"
    return _table(block)


def _table(table: Table) -> str:
    caption = [f"<caption>{_said(table.caption)}</caption>"] if table.caption else []
    head = "".join(f'<th scope="col">{_said(cell)}</th>' for cell in table.head)
    rows = [_row(row, table.links[k] if table.links else "") for k, row in enumerate(table.rows)]
    parts = ['<div class="scroll"><table>', *caption, f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows]
    return "\n".join([*parts, "</tbody></table></div>"])


def _row(row: Sequence[str], link: str) -> str:
    """A row of a table; its first cell leads to `link`, unless that is ""."""
    cells = []
    for k, cell in enumerate(row):
        text = _said(cell)
        if link and k == 0:
            target = ' target="_blank" rel="noopener"' if link.startswith("/#") else ""
            text = f'<a href="{_said(link)}"{target}>{text}</a>'
        kind = ' class="n"' if _is_number(cell) else ""
        cells.append(f"<td{kind}>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _said(text: object) -> str:
    """Words of a block, or a number read from a record, escaped."""
    return escape(str(text))


def _data_uri(image: bytes) -> str:
    kind = "svg+xml" if image.startswith(b"<svg") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace("−", "-").replace(",", "").rstrip("%° Å²").strip() or "x")
    except ValueError:
        return False
    return True
