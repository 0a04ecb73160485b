"""This module is where pieces of HTML are made: escaped, styled for light and dark, with nothing to run or to load.

Text takes the colour of the page that it stands in: JupyterLab's and VS Code's variables where they are, else what the
page itself has. Accents are chosen by the theme that the page names, else by what the reader prefers.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from aicore_obs.display.words import Folded, folded, harmless

# What is longer is folded; more than this of one text is not put into a page at all, unless all is asked for.
FOLD_CHARACTERS, FOLD_LINES = 1_500, 24
MOST_CHARACTERS = 200_000
_LIGHT = "--ao-blue:#0b5cad;--ao-green:#17692f;--ao-red:#b3261e;--ao-violet:#6b3fa0;--ao-amber:#8a5300"
_DARK = "--ao-blue:#7db7ff;--ao-green:#7fdc9b;--ao-red:#ff938c;--ao-violet:#cdaaff;--ao-amber:#f0b657"
_NAMED_LIGHT = (
    *('[data-jp-theme-light="true"]', "body.vscode-light", "body.vscode-high-contrast-light", 'html[theme="light"]'),
    *('[data-theme="light"]', '[data-md-color-scheme="default"]'),
)
_NAMED_DARK = (
    *(
        '[data-jp-theme-light="false"]',
        "body.vscode-dark",
        "body.vscode-high-contrast:not(.vscode-high-contrast-light)",
    ),
    *('html[theme="dark"]', '[data-theme="dark"]', '[data-md-color-scheme="slate"]'),
)
_STYLE = """
.aicore-obs{color:var(--jp-content-font-color1,var(--vscode-editor-foreground,inherit));
font-family:var(--jp-content-font-family,var(--vscode-font-family,system-ui,sans-serif));font-size:13px;line-height:1.45;
max-width:72em;margin:2px 0 10px;text-align:left;unicode-bidi:isolate}
.aicore-obs pre,.aicore-obs code,.aicore-obs .ao-mono{font-family:var(--jp-code-font-family,
var(--vscode-editor-font-family,ui-monospace,SFMono-Regular,Menlo,Consolas,monospace));font-size:12px}
.aicore-obs pre{margin:2px 0;padding:0;background:none;border:0;color:inherit;white-space:pre-wrap;
overflow-wrap:anywhere;unicode-bidi:plaintext;font-size:12.5px}
.aicore-obs .ao-said{font-family:inherit;font-size:13px}
.aicore-obs .ao-head{display:flex;flex-wrap:wrap;gap:2px 12px;align-items:baseline;margin:0 0 6px}
.aicore-obs .ao-title{font-size:15px;font-weight:600}
.aicore-obs .ao-dim{opacity:.72}
.aicore-obs .ao-blue{color:var(--ao-blue)}.aicore-obs .ao-green{color:var(--ao-green)}
.aicore-obs .ao-red{color:var(--ao-red)}.aicore-obs .ao-violet{color:var(--ao-violet)}
.aicore-obs .ao-amber{color:var(--ao-amber)}
.aicore-obs table{border-collapse:collapse;margin:4px 0!important;font-size:inherit;color:inherit;background:none;
border:0}
.aicore-obs tr,.aicore-obs th,.aicore-obs td{background:none!important;border:0!important;color:inherit}
.aicore-obs th,.aicore-obs td{padding:1px 14px 1px 0;text-align:left!important;vertical-align:top;line-height:inherit;
max-width:none;white-space:normal;overflow-wrap:anywhere}
.aicore-obs th{font-weight:400;opacity:.72;white-space:nowrap}
.aicore-obs table .ao-num{text-align:right!important;white-space:nowrap;font-variant-numeric:tabular-nums}
.aicore-obs .ao-message{border-left:3px solid rgba(128,128,128,.45);padding:1px 0 1px 10px;margin:8px 0}
.aicore-obs .ao-role{font-weight:600;font-size:12px}
.aicore-obs .ao-box{background:rgba(128,128,128,.12);border-radius:4px;padding:3px 8px;margin:3px 0}
.aicore-obs details{margin:2px 0}
.aicore-obs summary{cursor:pointer}
.aicore-obs details[open]>summary>.ao-first{display:none}
.aicore-obs .ao-turn{margin:10px 0 4px;padding-top:6px;border-top:1px solid rgba(128,128,128,.35)}
.aicore-obs table.ao-tree{width:100%;table-layout:fixed}
.aicore-obs .ao-tree td,.aicore-obs .ao-tree th{padding:0 12px 0 0}
.aicore-obs .ao-tree .ao-step{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.aicore-obs .ao-guides{white-space:pre;opacity:.5}
.aicore-obs .ao-lane{height:10px;margin-top:5px;background:rgba(128,128,128,.12);border-radius:2px;overflow:hidden}
.aicore-obs .ao-bar{height:10px;min-width:2px;border-radius:2px;background:rgba(128,128,128,.75)}
.aicore-obs .ao-bar.ao-blue{background:var(--ao-blue)}.aicore-obs .ao-bar.ao-red{background:var(--ao-red)}
"""
_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body{{margin:24px;background:Canvas;color:CanvasText}}</style>
</head>
<body>
{body}
</body>
</html>
"""


def fragment(body: str) -> str:
    """Return a piece of HTML that brings its style along."""
    return f'<div class="aicore-obs"><style>{_style()}</style>{body}</div>'


def document(title: str, body: str) -> str:
    """Return a whole page of a fragment; the browser is told to run and to load nothing."""
    return _DOCUMENT.format(title=text(title), body=body)


def text(value: str, *, lines: bool = True) -> str:
    """Return any text as HTML that shows just this text."""
    return escape(harmless(value, lines=lines), quote=True)


def span(value: str, *classes: str, title: str | None = None) -> str:
    """Return text in a span of these classes (without their prefix)."""
    told = "" if title is None else f' title="{text(title, lines=False)}"'
    return f'<span class="{_classes(classes)}"{told}>{text(value, lines=False)}</span>'


def pre(value: str, *classes: str, full: bool = False) -> str:
    """Return a text of lines, folded where it is long."""
    told = f' class="{_classes(classes)}"' if classes else ""
    whole = value if full or len(value) <= MOST_CHARACTERS else value[:MOST_CHARACTERS]
    part = Folded(value) if full else folded(whole, characters=FOLD_CHARACTERS, lines=FOLD_LINES)
    if not part.characters:
        return f"<pre{told}>{text(value)}</pre>"
    cut = len(value) - len(whole)
    more = f"<div>{span(f'{cut:,} more characters are left out', 'dim')}</div>" if cut else ""
    return details(
        f'{span(part.told, "dim")}<span class="ao-first"><pre{told}>{text(part.shown)}…</pre></span>',
        f"<pre{told}>{text(whole)}</pre>{more}",
    )


def details(summary: str, body: str, *, is_open: bool = False) -> str:
    """Return something that the reader opens; both are HTML."""
    return f"<details{' open' if is_open else ''}><summary>{summary}</summary>{body}</details>"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values; values are HTML."""
    cells = "".join(f'<tr><th scope="row">{text(name)}</th><td>{value}</td></tr>' for name, value in rows)
    return f"<table>{cells}</table>" if cells else ""


def _classes(names: Iterable[str]) -> str:
    return " ".join(f"ao-{name}" for name in names)


def _style() -> str:
    light = ",".join(f"{one} .aicore-obs" for one in _NAMED_LIGHT)
    dark = ",".join(f"{one} .aicore-obs" for one in _NAMED_DARK)
    roles = "".join(
        f".aicore-obs .ao-by-{colour}{{border-left-color:var(--ao-{colour})}}"
        f".aicore-obs .ao-by-{colour}>.ao-role{{color:var(--ao-{colour})}}"
        for colour in ("blue", "green", "violet", "amber")
    )
    return (
        f".aicore-obs{{{_LIGHT}}}@media (prefers-color-scheme:dark){{.aicore-obs{{{_DARK}}}}}"
        f"{light}{{{_LIGHT}}}{dark}{{{_DARK}}}{_STYLE}{roles}"
    )
