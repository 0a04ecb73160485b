r"""This module is where text that JSON, UTF-8 or PostgreSQL cannot hold is escaped, and taken back unchanged.

One escape character, U+E000 (private use), starts a code of one to five characters:

====================  =======================================================
``U+E000`` ``0``      a NUL character (PostgreSQL's text and JSONB hold none)
``U+E000`` ``1``      U+E000 itself
``U+E000`` ``uD83D``  a lone surrogate (UTF-8 holds none)
====================  =======================================================

Text is escaped only when it must be, and whoever keeps escaped text keeps a mark beside it.
"""

from __future__ import annotations

import re

MARK = "\ue000"
_MUST_ESCAPE = re.compile("[\x00\ue000\ud800-\udfff]")
_SURROGATE = re.compile("[\ue000\ud800-\udfff]")
_CODE = re.compile("\ue000(0|1|u[0-9A-F]{4})")
# A JSON escape sequence as one unit, so that `\\u0000` (a backslash, then text) is not taken for a NUL.
_JSON_NUL = re.compile(r"\\(?:u0000|u[eE]000|.)")
# The same two characters spelled out in JSON.
_SPELLED = {"\\u0000": MARK + "0", "\\ue000": MARK + "1"}
_JSON_CODE = re.compile("\ue000(?:0|1|uD[89A-F][0-9A-F]{2})")


def escape(text: str, *, nul: bool = False) -> str:
    """Return ``text`` with lone surrogates (and NUL characters if ``nul``) as codes."""
    return (_MUST_ESCAPE if nul else _SURROGATE).sub(_to_code, text)


def unescape(text: str) -> str:
    """Take :func:`escape` back."""
    return _CODE.sub(lambda match: _from_code(match[1]), text)


def escape_json_nul(text: str, *, escaped: bool) -> str:
    r"""Return JSON text in which every ``\u0000`` is a code; ``escaped`` text has its U+E000 doubled already."""
    doubled = text if escaped else text.replace(MARK, MARK + "1")
    return _JSON_NUL.sub(lambda match: _SPELLED.get(match[0].lower(), match[0]), doubled)


def unescape_json(text: str) -> str:
    r"""Return escaped JSON text as plain JSON: codes become ``\u0000``, ``\ud83d`` or U+E000 again."""
    return _JSON_CODE.sub(_to_json, text)


def _to_code(match: re.Match[str]) -> str:
    char = match[0]
    if char == MARK:
        return MARK + "1"
    return MARK + "0" if char == "\x00" else f"{MARK}u{ord(char):04X}"


def _from_code(code: str) -> str:
    if code in ("0", "1"):
        return "\x00" if code == "0" else MARK
    return chr(int(code[1:], 16))


def _to_json(match: re.Match[str]) -> str:
    code = match[0][1:]
    if code in ("0", "1"):
        return "\\u0000" if code == "0" else MARK
    return "\\" + code.lower()
