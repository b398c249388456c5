"""Commands made from options models: flags and help come from the fields, errors are one line, exit code 2."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

from cyclopts import Parameter
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from burnish.cli.terminal import Terminal
from burnish.core.errors import BurnishError, InputError, explain_os_error
from burnish.jobs.execution import explain, options_model, run_job
from burnish.jobs.project import find_project
from burnish.options.base import names_of
from burnish.options.table import COMMANDS, Command


def __getattr__(name: str) -> Callable[..., int]:
    """Build the command of that name on first use."""
    for command in COMMANDS:
        if command.name.replace("-", "_") == name:
            return _build(command)
    raise AttributeError(name)


def load_options(command: Command) -> type[BaseModel]:
    """The options model of a command."""
    return options_model(command)


def _build(command: Command) -> Callable[..., int]:
    model = load_options(command)

    def run(*positional: Any, **given: Any) -> int:
        as_json = given.pop("json", False)
        bound = run.__signature__.bind(*positional, **given).arguments  # type: ignore[attr-defined]
        bound.pop("json", None)
        return run_command(command, bound, as_json=as_json)

    run.__signature__ = _signature(command, model)  # type: ignore[attr-defined]
    run.__doc__ = model.__doc__
    run.__name__ = command.name
    return run


def _signature(command: Command, model: type[BaseModel]) -> inspect.Signature:
    """Positional options first, required before optional; all others by name only."""
    positional: list[inspect.Parameter] = []
    by_name: list[inspect.Parameter] = []
    names = [*command.positional, *(n for n in model.model_fields if n not in command.positional)]
    for name in names:
        field = model.model_fields[name]
        annotation: Any = field.annotation
        default = field.get_default(call_default_factory=True)
        if name == "out" and command.project_folder:
            annotation, default = annotation | None, None
        empty: tuple[str, ...] | None = () if _is_sequence(annotation) or isinstance(default, bool | tuple) else None
        # None means: not given, so that the model's own default (and its validators) decide
        parameter = inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD if name in command.positional else inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is PydanticUndefined else default,
            annotation=Annotated[
                annotation,
                Parameter(
                    name=_flags(name, field),
                    help=field.description,
                    show=name not in getattr(model, "hidden", ()),
                    negative=f"--no-{name.replace('_', '-')}" if isinstance(default, bool) else empty,
                    show_default=not (default in (None, (), False) or default is PydanticUndefined),
                ),
            ],
        )
        (positional if name in command.positional else by_name).append(parameter)
    by_name.append(
        inspect.Parameter(
            "json",
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, Parameter(help="Print the summary as JSON.", negative=(), show_default=False)],
        )
    )
    positional.sort(key=lambda p: p.default is not inspect.Parameter.empty)
    return inspect.Signature([*positional, *by_name])


def _flags(name: str, field: FieldInfo) -> tuple[str, ...] | None:
    """Flags that are not the field's name: one that cannot be a Python name (`--continue`), or several; else None."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "flag" in extra:
        return (f"--{extra['flag']}",)
    names = names_of(name, field)
    return tuple("--" + n.replace("_", "-") for n in names) if len(names) > 1 else None


def _is_sequence(annotation: Any) -> bool:
    kinds = {getattr(a, "__origin__", a) for a in (annotation, *get_args(annotation)) if a is not NoneType}
    return bool(kinds & {tuple, list})


def run_command(command: Command, given: dict[str, Any], *, as_json: bool = False) -> int:
    """Run a command with these options; return the exit code of the process."""
    model = load_options(command)
    terminal = Terminal(command.name, quiet=as_json)
    project = find_project(Path.cwd())
    try:
        if given.get("out") is None and project is not None and command.project_folder:
            given["out"] = Path(project.next_name(command.project_folder))
        elif given.get("out") is None and command.project_folder:
            raise InputError("--out: missing; name a folder, or run inside a project (`burnish project init`)")
        options = model(**given)
    except ValidationError as error:
        terminal.error(explain(error))
        return 2
    except BurnishError as error:
        terminal.error(str(error))
        return 2
    try:
        with terminal:
            summary = run_job(command, options, terminal, project)
    except BurnishError as error:
        terminal.error(str(error))
        return 2
    except OSError as error:  # the traceback is in job.json
        terminal.error(explain_os_error(error))
        return 2
    except KeyboardInterrupt:
        terminal.error("interrupted; what was complete has been kept")
        return 130
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        out = given.get("out")
        terminal.summary({**summary, "folder": str(out)} if out is not None and command.keeps_record else summary)
    return 0
