"""This module is where docstrings' roles become plain code on the site: they are written for readers of the source."""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:class|data|exc|func|meth|mod):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Return a page's HTML with ``:meth:`~a.b.c``` as ``c``; MkDocs calls this for every page."""
    return _ROLE.sub(_as_code, html)


def _as_code(match: re.Match[str]) -> str:
    short, name = match.groups()
    return f"<code>{name.rpartition('.')[2] if short else name}</code>"
