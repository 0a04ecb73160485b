"""This module is where docs/cli.md is made from the program, and compared with it.

``python -m tests.integration.test_cli_docs`` writes the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from aicore_obs.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
INTRODUCTION = """\
# The `aicore-obs` command

*Made from the program by `python -m tests.integration.test_cli_docs`; a test compares the two.*

Answers go to stdout, complaints and progress to stderr. Exit codes: 0; 1 when the answer is that something remains or
needs attention; 2 when the question could not be answered (one line on stderr says why). A store is a URL
(`sqlite:///file`, `postgresql://user:password@host/database`) or the path of a `.json`, `.jsonl`, `.ndjson` or SQLite
file. Passwords are never printed; to keep one out of the process list too, put the URL into `AICORE_OBS_DB_URL`.
"""


def page() -> str:
    """Return the page's text."""
    return INTRODUCTION + "".join(_command(("aicore-obs",), typer.main.get_command(app)))


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            yield from _command((*path, name), one)
        return
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [*path, *("[options]" if options else "",), *(str(one.metavar) for one in arguments)]
    yield f"\n## {' '.join(path[1:])}\n\n```text\n{' '.join(filter(None, words))}\n```\n\n{_text(command.help)}\n"
    for number, one in enumerate([*arguments, *options]):
        yield ("\n" if number == 0 else "") + f"- `{_words(one)}`: {_text(one.help)}{_default(one)}\n"


def _words(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    value = "" if parameter.is_flag else f" {parameter.metavar}"
    return ", ".join(sorted(parameter.opts, key=len)) + value


def _default(parameter: Any) -> str:
    shown = parameter.param_type_name == "option" and not parameter.is_flag and parameter.default is not None
    return f" Default: {parameter.default}." if shown and parameter.show_default else ""


def _text(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def test_the_page_says_what_the_program_says() -> None:
    """Commands, arguments, options, their help and their defaults."""
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
