"""The `burnish` command: one table of commands, each loaded only when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group, MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from burnish import __version__
from burnish.cli.ending import leave
from burnish.cli.other_names import own_name
from burnish.options.table import COMMANDS


def build_app() -> App:
    """Return the command line with every command registered by name, none imported."""
    app = App(name="burnish", version=__version__, help="Refine structures: cryo-EM maps and atomic models.")
    groups: dict[str, Group] = {}
    for order, command in enumerate(COMMANDS):
        group = groups.setdefault(command.group, Group(command.group, sort_key=order))
        attribute = command.name.replace("-", "_")
        app.command(f"burnish.cli.commands:{attribute}", name=command.name, help=command.summary, group=group)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with 0, 2 for input that cannot be used, 130 for Ctrl-C."""
    given = list(arguments) if arguments is not None else sys.argv[1:]
    try:
        status = build_app()(given, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sys.stderr.write(f"burnish {given[0] if given else ''}: {_explain(error)}\n")
        sys.exit(2)
    code = status if isinstance(status, int) else 0
    if arguments is None and any(c.ends_at_once and [c.name] == given[:1] for c in COMMANDS):
        leave(code)
    sys.exit(code)


def _explain(error: CycloptsError) -> str:
    """What is wrong with the command line, in one line."""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name, command = error.argument.name, " ".join(error.command_chain or ())
        if error.keyword is None and not error.tokens_so_far and not error.argument.tokens:
            return f"{name}: missing; `burnish {command} --help` lists what is needed"
    said = " ".join(str(error).split())
    command = " ".join(error.command_chain or ())
    if isinstance(error, UnusedCliTokensError):
        unused = [str(word) for word in error.unused_tokens or ()]
        said = f"{' '.join(unused)}: more than this command takes; options begin with --"
    elif isinstance(error, UnknownOptionError):
        unused = [error.token.keyword or error.token.value]
    else:
        return said
    names = {word: own_name(command, word) for word in unused}
    if known := [f"{word} of other programs is {name} here" for word, name in names.items() if name is not None]:
        return "; ".join([f"unknown: {' '.join(unused)}", *known])
    if command == "batch":
        said += " Options of the jobs are columns of the table, or --set NAME=VALUE for all of them."
    return said


if __name__ == "__main__":
    main()
