"""This module is where the site is built strictly, and where the notebooks of the docs are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
# Whatever a page loads by itself; links that a reader follows are none of it.
_LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(https?:[^\"'\s>]+)"
    r"|<link(?=[^>]*rel=[\"']?(?:stylesheet|preconnect|icon))[^>]*href=[\"']?(https?:[^\"'\s>]+)"
)
# In a process of its own: kernels leave sockets and loops to the end of theirs.
_RUN = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
print(sum(cell.cell_type == "code" for cell in notebook.cells))
"""


def test_the_site_is_built_strictly(tmp_path: Path) -> None:
    """No link and no anchor leads nowhere, every page is in the navigation, and no page loads anything from afar."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    assert "not included in the" not in done.stderr
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    built = {page: (tmp_path / "site" / page).read_text(encoding="utf-8") for page in pages}
    assert {page: found for page, text in built.items() if (found := _LOADED.findall(text))} == {}
    reference = built[Path("reference.html")]
    assert "record_completion" in reference
    assert ":meth:" not in reference


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """Every cell of a notebook runs in a kernel, in an empty folder; it is kept without its outputs."""
    assert '"outputs": []' in path.read_text(encoding="utf-8")
    assert '"output_type"' not in path.read_text(encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", _RUN, str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 3
    assert (tmp_path / f"{path.stem}.db").exists()
