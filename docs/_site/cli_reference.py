"""The reference of the command line, made of the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer
from pieces import code, table

INTRODUCTION = """# The command line

Every command has `--help`, and most have `--json` for programs that read the result. Results go to standard output,
all else to standard error; a mistake is one line, with exit code 1 or 2. `MOLBUFFER_DEBUG=1` shows tracebacks.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command with the words that call it, in the order of the help."""
    from molbuffer.flows.cli import app

    yield from _below("molbuffer", typer.main.get_command(app))


def page() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *("\n".join(_section(name, each)) for name, each in commands())])


def example_of(command: Any) -> str | None:
    """Return the command line that the help of a command gives as an example."""
    found = re.fullmatch(r"Example: (.*)", " ".join((command.epilog or "").split()))
    return found[1] if found else None


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for each, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from _below(f"{name} {each}", below)
        elif not below.hidden:
            yield f"{name} {each}", below


def _section(name: str, command: Any) -> Iterator[str]:
    yield f"## {name}\n"
    yield (command.help or "").strip() + "\n"
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    words = " ".join(each.metavar or each.name.upper() for each in arguments)
    yield f"```text\n{name} {words}{' ' if words else ''}[OPTIONS]\n```\n"
    if arguments:
        yield table(
            ["argument", ""], [[code(each.metavar or each.name.upper()), each.help or ""] for each in arguments]
        )
        yield ""
    rows = [[_names(each), _default(each), each.help or ""] for each in options if each.name != "help"]
    if rows:
        yield table(["option", "default", ""], rows)
        yield ""
    if (example := example_of(command)) is not None:
        yield f"```sh\n{example}\n```\n"


def _names(option: Any) -> str:
    said = ", ".join(code(each) for each in [*option.opts, *option.secondary_opts])
    if option.is_flag:
        return said
    annotation = option.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"{said} {code('|'.join(str(each.value) for each in annotation))}"
    return f"{said} {code(option.metavar or getattr(annotation, '__name__', 'value').upper())}"


def _default(option: Any) -> str:
    if option.required:
        return "*required*"
    value = option.default
    if value is None or value is False or callable(value) or value in ((), [], ""):
        return ""
    return code(getattr(value, "value", value))
