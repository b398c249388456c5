"""The directive `command-reference`: every command with its options, from the models behind the command line."""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx

from burnish.cli.commands import load_options
from burnish.options.table import COMMANDS, Command


class CommandReference(Directive):
    """One section a command: what it does, its options, their defaults."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Make the sections, by the groups of `burnish --help`."""
        sections: list[nodes.Node] = []
        for group in dict.fromkeys(c.group for c in COMMANDS):
            section = nodes.section(ids=[nodes.make_id(group)])
            section += nodes.title(text=group)
            for command in (c for c in COMMANDS if c.group == group):
                described = _command(command)
                self.state.document.note_explicit_target(described)  # so that pages link to #burnish-refine
                section += described
            sections.append(section)
        return sections


def _command(command: Command) -> nodes.section:
    name = f"burnish {command.name}"
    section = nodes.section(ids=[nodes.make_id(name)], names=[nodes.make_id(name)])
    section += nodes.title(text=name)
    section += nodes.paragraph(text=command.summary)
    rows = nodes.tbody()
    fields = load_options(command).model_fields
    for option in [*command.positional, *(f for f in fields if f not in command.positional)]:
        field = fields[option]
        extra = field.json_schema_extra
        flag = extra["flag"] if isinstance(extra, dict) and "flag" in extra else option.replace("_", "-")
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined:
            shown = "needed"
        elif isinstance(default, bool):
            shown = "yes" if default else "no"
        else:
            shown = "" if default in (None, (), "") else str(default)
        shown_flag = option.upper() if option in command.positional else f"--{flag}"
        if isinstance(default, bool) and default:
            shown_flag += f" / --no-{flag}"
        rows += _row(nodes.literal(text=shown_flag), nodes.Text(shown), nodes.Text(field.description or ""))
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (28, 14, 58)), cols=3)
    group += nodes.thead("", _row(*(nodes.Text(t) for t in ("option", "default", "meaning"))))
    group += rows
    section += nodes.table("", group)
    return section


def _row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
