"""This module is where the documents are held to the truth: their programs run, their links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import oplog
from tests.code_blocks import code_blocks, run_block
from tests.observed import as_a_program

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who types the Python blocks of a page, in order, in an empty directory, sees them run."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    # What a page leaves configured ends with it, as with a reader's program.
    with closing(oplog), as_a_program(monkeypatch):
        for block in code_blocks(page.read_text(encoding="utf-8")):
            if block.language == "python":
                run_block(block, namespace, page=page)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file or directory of the tree."""
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_test_command_is_the_same_everywhere() -> None:
    """README and CONTRIBUTING print one command, and it installs an extra that exists."""
    command = "python3 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/python -m pytest -n 3"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "dev" in project["optional-dependencies"]
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert f"\n{command}\n" in page.read_text(encoding="utf-8")
