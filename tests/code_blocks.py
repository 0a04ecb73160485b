"""This module is where fenced code blocks are taken out of a Markdown page and run as a reader would run them."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

_FENCE = re.compile(r"^```(?P<language>\w+) *\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class CodeBlock(NamedTuple):
    """A fenced block: its language, its text, and the line of the page on which the text begins."""

    language: str
    code: str
    line: int


def code_blocks(page: str) -> list[CodeBlock]:
    """Return the fenced blocks of a page, in order; those without a language are left out."""
    return [
        CodeBlock(match["language"], match["code"], page.count("\n", 0, match.start("code")) + 1)
        for match in _FENCE.finditer(page)
    ]


def run_block(block: CodeBlock, namespace: dict[str, Any], *, page: Path) -> None:
    """Run one Python block in ``namespace``; a block may use ``await`` outside of functions.

    A failure shows the line of the page.
    """
    padded = "\n" * (block.line - 1) + block.code
    code = compile(padded, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    # With await outside of functions, evaluating makes a coroutine; without, it runs.
    outcome = eval(code, namespace)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


def indented_blocks(page: str) -> list[CodeBlock]:
    """Return the literal blocks of a reStructuredText page (after a line that ends in ``::``), in order."""
    lines = page.splitlines()
    blocks = []
    for number, line in enumerate(lines):
        if line.endswith("::") and not line.startswith(".."):
            begin = number + 1
            end = begin
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith("    ")):
                end += 1
            code = textwrap.dedent("\n".join(lines[begin:end])) + "\n"
            blocks.append(CodeBlock("text", code, begin + 1))
    return blocks
