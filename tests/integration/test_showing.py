"""This module is where operations, conversations and traces are shown from real stores, as data, HTML and text."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from aicore_obs import LlmOperationCollector, show, show_conversation, show_operation, show_trace
from aicore_obs.display.facts import Conversation, OperationFacts, TraceTree
from aicore_obs.display.shown import Shown
from aicore_obs.errors import ConfigurationError, StoreNotFoundError, UnknownIdError
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import ErrorInfo
from aicore_obs.protocols import Address
from tests import records, talks


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Address:
    """A SQLite store with a session; nobody writes to it any more."""
    place = records.address("sqlite", tmp_path_factory.mktemp("store"))
    records.write(place, talks.session())
    return place


def text_of(shown: Shown[Any], width: int = 100, **options: Any) -> str:
    """Return what a terminal of this width is sent."""
    out = io.StringIO()
    Console(file=out, width=width, legacy_windows=False, **options).print(shown)
    return out.getvalue()


# -- from every store --------------------------------------------------------------------------------------------------


def test_every_store_shows_the_same(place: Address) -> None:
    """One operation, the conversation and the trace, as plain data."""
    session = talks.session()
    records.write(place, session)
    assert isinstance(session[0], Operation)

    one = show(session[0].id, place)
    assert isinstance(one.facts, OperationFacts)
    told = one.to_dict()
    assert told["usage"] == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    assert told["cost"]["total_usd"] == "0.500000000000"
    assert told["cost"]["source"] == "genai-prices"
    assert told["request"]["parameters"] == {"temperature": 0.5}
    assert [message["role"] for message in told["request"]["messages"]] == ["system", "user"]
    assert told["answers"][0]["parts"] == [
        {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}, "id": "c-1"}
    ]
    assert (told["labels"], told["tags"], told["extras"]) == ({"team": "travel"}, ["a"], {"n": 1})
    assert told["scopes"]["run_id"] == "r-1"

    talk = show("s-1", place)
    assert isinstance(talk.facts, Conversation)
    assert [(turn.repeated, [one.role for one in turn.messages]) for turn in talk.facts.turns] == [
        (0, ["system", "user"]),
        (3, ["tool"]),
        (5, ["user"]),
    ]
    tree = show(talks.TRACE, place)
    assert isinstance(tree.facts, TraceTree)
    (root,) = tree.facts.roots
    assert (root.name, [child.name for child in root.children]) == ("agent", ["chat.completions.create"] * 3)
    assert [child.start_ms for child in root.children] == [1000.0, 2000.0, 3000.0]
    assert root.children[2].error == "TimeoutError: no answer"
    for totals in (talk.facts.totals, tree.facts.totals):
        assert (totals.operations, totals.errors, totals.tokens, totals.tokens_unknown) == (3, 1, 20, 1)
        assert (str(totals.cost_usd), totals.unpriced) == ("1.000000000000", 1)


def test_what_an_id_is_of(place: Address) -> None:
    """An operation, a run, a trace of steps alone; and the newest one."""
    session = talks.session()
    records.write(place, [*session, records.span(trace_id="t-alone")])
    assert show("last", place).facts.id == session[2].id
    assert show("r-1", place).to_dict()["scope"] == "run_id"
    assert [root["name"] for root in show("t-alone", place).to_dict()["roots"]] == ["step"]
    assert show_trace("s-1", place).to_dict()["spans"] == 1
    assert show_trace(session[0].id, place).facts.id == talks.TRACE
    assert show_conversation(session[0].id, place).facts.id == session[0].id
    assert show(talks.TRACE[:6], place).facts.id == talks.TRACE


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_the_beginning_of_several_ids_names_them(store: Address) -> None:
    """Whoever gave too little sees what it may be."""
    first = talks.session()[0].id  # made at the same time as those in the store
    with pytest.raises(UnknownIdError, match=r"is the beginning of 3 ids \(operation .*give more") as error:
        show(first[:6], store)
    assert isinstance(error.value, LookupError)


def test_an_unknown_id_says_what_to_do(store: Address, tmp_path: Path) -> None:
    """Nothing with the id, one too short, none at all, a store that is not there, and what is no store."""
    with pytest.raises(
        UnknownIdError, match=r"no operation, session, run or trace in sqlite:.*'nobody'.*aicore-obs tail"
    ):
        show("nobody", store)
    with pytest.raises(UnknownIdError, match="4 characters"):
        show("s", store)
    with pytest.raises(ValueError, match="id='': the id of"):
        show("", store)
    with pytest.raises(StoreNotFoundError):
        show("s-1", tmp_path / "none.db")
    with pytest.raises(ConfigurationError, match="int is no source"):
        show("s-1", 1)  # type: ignore[arg-type]
    with pytest.raises(UnknownIdError, match="'s-1' is the id of a session, not of an operation"):
        show_operation("s-1", store)


def test_an_empty_store_has_no_last_operation(tmp_path: Path) -> None:
    """It is said, not taken for an id."""
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/a.db") as collector:
        with pytest.raises(UnknownIdError, match="no operation"):
            show("last", collector)
        made = collector.record_completion({"model": "m"}, response="Hi")
        assert show("last", collector).facts.id == made


def test_an_operation_without_a_trace_is_a_tree_of_one(tmp_path: Path) -> None:
    """There is nothing around it, and that is what is shown."""
    alone, place = records.operation(latency_ms=3.0), records.address("jsonl", tmp_path)
    records.write(place, [alone])
    tree = show_trace(alone.id, place).facts
    assert isinstance(tree, TraceTree)
    assert [(root.id, root.children) for root in tree.roots] == [(alone.id, ())]


# -- unknown is not zero -----------------------------------------------------------------------------------------------


def test_what_is_unknown_is_a_dash_with_its_reason(store: Address) -> None:
    """Tokens that nobody reported and a cost without a price are no 0, in no form."""
    failed = show("last", store)
    told = failed.to_dict()
    assert told["usage"] == {"input_tokens": None, "output_tokens": None, "total_tokens": None}
    assert told["cost"]["total_usd"] is None
    text = text_of(failed)
    assert "— (none reported)" in text
    assert "— (no usage reported)" in text
    assert "TimeoutError" in text
    assert "no answer" in text
    assert "≥ $1.00 (1 without a price)" in text_of(show_trace(talks.TRACE, store))


# -- HTML --------------------------------------------------------------------------------------------------------------

EVIL = (
    "</pre></div><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
    "\" onmouseover=\"document.title='hacked'\" x=\" ' <svg/onload=document.title='hacked'> &lt;b&gt; "
    "</style><style>*{display:none} \x1b[31mred\x1b[0m \x1b]0;title\x07 [bold red]markup[/bold red] :smile: \u202eback"
)


def evil() -> list[Any]:
    """Return operations and a step in which every text is hostile."""
    content = [{"type": "text", "text": EVIL}, {"type": "image_url", "image_url": {"url": "https://x/" + EVIL}}]
    call = {"id": EVIL, "function": {"name": EVIL, "arguments": json.dumps({EVIL: EVIL})}}
    given = {"role": "tool", "tool_call_id": EVIL, "name": EVIL, "content": EVIL * 40}
    request = {
        "model": EVIL,
        "messages": [{"role": EVIL, "name": EVIL, "content": content}, given],
        "tools": [{"type": "function", "function": {"name": EVIL, "description": EVIL}}],
        EVIL: EVIL,
    }
    response = {"choices": [{"message": {"content": EVIL, "reasoning_content": EVIL, "tool_calls": [call]}}]}
    texts = dict.fromkeys(("provider", "api", "trace_id", "run_id", "agent_id", "user_id"), EVIL)
    operation = talks.asked(
        9,
        [],
        talks.SAID,
        **texts,
        labels={"l": EVIL},
        tags=(EVIL,),
        extras={EVIL: [EVIL]},
        completion_args=request,
        response=response,
        error=ErrorInfo(type=EVIL, message=EVIL, stack=EVIL),
        span_id="b" * 16,
        session_id="evil",
    )
    step = records.span(session_id="evil", trace_id=EVIL, span_id="a" * 16)
    return [operation, msgspec.structs.replace(step, name=EVIL)]


class Seen(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.text += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> list[Shown[Any]]:
    """Whatever can be shown of a store in which every text is hostile."""
    place = records.address("jsonl", tmp_path_factory.mktemp("hostile"))
    made = evil()
    records.write(place, made)
    shows = (show_operation, show_conversation, show_trace)
    ids = (made[0].id, "evil", "evil")
    return [one(id_, place, full=full) for one, id_ in zip(shows, ids, strict=True) for full in (False, True)]


def test_content_stays_text_in_html(hostile: list[Shown[Any]]) -> None:
    """No tag and no attribute but ours comes out of it, every tag is closed, and the text is there to be read."""
    for shown in hostile:
        seen = Seen()
        seen.feed(shown._repr_html_())
        seen.close()
        assert not seen.open
        assert seen.tags <= {"div", "style", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
                             "pre", "code"}  # fmt: skip
        assert seen.attributes.keys() <= {"class", "style", "title", "scope", "colspan", "open"}
        assert all(re.fullmatch(r"(width:[\d.]+%|margin-left:[\d.]+%;width:[\d.]+%)", one) for one in
                   seen.attributes.get("style", ()))  # fmt: skip
        assert "<script>document.title='hacked'</script>" in seen.text
        assert "\x1b" not in shown._repr_html_()
        assert "\u202e" not in shown._repr_html_()


def test_a_page_loads_nothing(hostile: list[Shown[Any]]) -> None:
    """No address but in text, no script, and a policy that forbids both."""
    for shown in hostile:
        page = shown.to_html()
        seen = Seen()
        seen.feed(page)
        assert not {"script", "link", "img", "iframe", "object", "svg"} & seen.tags
        assert not {"src", "href", "srcset", "action"} & seen.attributes.keys()
        assert "default-src 'none'" in page
        assert "url(" not in page.split("</style>")[1]


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_content_stays_text_in_a_browser(hostile: list[Shown[Any]], tmp_path: Path) -> None:
    """Nothing of it runs, in a page that would let it run."""
    body = "".join(shown._repr_html_() for shown in hostile)
    page = tmp_path / "page.html"
    count = "document.body.id=document.querySelectorAll('script,img,svg').length"
    probe = f"<script>addEventListener('load',()=>{{{count}}})</script>"
    page.write_text(f"<!doctype html><meta charset=utf-8><title>calm</title>{body}{probe}", "utf-8")
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60)
    assert "<title>calm</title>" in done.stdout
    assert '<body id="1">' in done.stdout  # the probe itself


def test_long_texts_are_folded(tmp_path: Path) -> None:
    """In HTML they open without a script; in a terminal they are counted, and shown on demand."""
    place = records.address("jsonl", tmp_path)
    words = " ".join(f"word{number}" for number in range(2000))
    records.write(place, [talks.asked(1, [{"role": "user", "content": words}], talks.SAID)])
    shown, whole = show("last", place), show("last", place, full=True)
    assert shown._repr_html_().count("<details>") > whole._repr_html_().count("<details>")
    assert "word1999" in shown._repr_html_()
    assert "more characters (full shows them)" in text_of(shown)
    assert "word1999" not in text_of(shown)
    assert "word1999" in text_of(whole)


def test_notebooks_get_html_and_text(store: Address) -> None:
    """Both in one bundle; and the text alone where an object is printed."""
    shown = show("s-1", store)
    bundle = shown._repr_mimebundle_()
    assert bundle["text/html"] == shown._repr_html_()
    assert bundle["text/plain"] == repr(shown) == str(shown)
    assert "A day in Oslo?" in repr(shown)
    assert json.loads(shown.to_json()) == json.loads(json.dumps(shown.to_dict(), default=str))


# -- terminals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [50, 80, 120])
def test_lines_fit_the_terminal(store: Address, hostile: list[Shown[Any]], width: int) -> None:
    """Nothing is wider than the terminal, and no content moves its cursor, colours it or is taken for markup."""
    for shown in (show("last", store), show("s-1", store), show(talks.TRACE, store), *hostile):
        text = text_of(shown, width)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert max(map(len, text.splitlines())) <= width
    said = text_of(hostile[0], width)
    assert "[bold red]" in said.replace("\n", "")
    assert ":smile:" in said.replace("\n", "")


def test_a_narrow_terminal_has_names_in_place_of_bars(store: Address) -> None:
    """What a step is called is worth more than where its bar lies."""
    tree = show(talks.TRACE, store)
    assert "━" in text_of(tree, 80)
    assert "━" not in text_of(tree, 50)
    assert "chat." in text_of(tree, 50)


def test_colours_and_their_absence(store: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal is sent colours, unless NO_COLOR says that it shall not be."""
    shown = show(talks.TRACE, store)
    assert "\x1b[31m" in text_of(shown, force_terminal=True, color_system="standard", _environ={})
    plain = text_of(shown, force_terminal=True, color_system="standard", _environ={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[(3|4|9|10)\d", plain)


def test_a_terminal_without_unicode_gets_plain_branches(store: Address) -> None:
    """Guides and bars are ASCII there."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    Console(file=out, width=100).print(show(talks.TRACE, store))
    out.seek(0)
    text = out.read()
    assert "`- chat.completions.create" in text
    assert "==" in text


# -- limits ------------------------------------------------------------------------------------------------------------


def test_more_than_is_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of more operations than one reads ends with a line that says so."""
    monkeypatch.setattr("aicore_obs.query.facts.MOST_TURNS", 2)
    monkeypatch.setattr("aicore_obs.query.facts.MOST_STEPS", 2)
    place = records.address("jsonl", tmp_path)
    records.write(place, talks.session())
    for shown in (show_conversation("s-1", place), show_trace("s-1", place)):
        assert shown.to_dict()["is_cut"]
        assert "There are more than these" in text_of(shown)
        assert "There are more than these" in shown._repr_html_()
