"""Report pages: one HTML file with everything in it, no scripts, all text escaped.

A page is records; `render` turns them into text. Workflows write it, since this room does no file I/O.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from jinja2 import Environment, Template

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
    return _template().render(
        page=page, version=__version__, kind_of=_kind_of, data_uri=_data_uri, is_number=_is_number
    )


@cache
def _template() -> Template:
    source = files("burnish.reports").joinpath("page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


def _kind_of(block: Block) -> str:
    return type(block).__name__


def _data_uri(image: bytes) -> str:
    kind = "svg+xml" if image.startswith(b"<svg") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace("−", "-").replace(",", "").rstrip("%° Å²").strip() or "x")
    except ValueError:
        return False
    return True
