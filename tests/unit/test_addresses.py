"""This module is where paths and URLs of users become addresses; malformed ones are named without passwords."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aicore_obs.addresses import address_of, check_place, database_address, file_address, without_password
from aicore_obs.errors import ConfigurationError, StoreDamagedError
from aicore_obs.protocols import Address, StoreOptions

OPTIONS = StoreOptions()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def database(url: Any) -> Address:
    """Return the address of a database."""
    return database_address(url, OPTIONS)


FILES = {"a.json": "json", "a.JSON": "json", "b.jsonl": "jsonl", "c.ndjson": "jsonl", "x/y.v1.json": "json"}


@pytest.mark.parametrize(("path", "kind"), FILES.items())
def test_files(path: str, kind: str, tmp_path: Path) -> None:
    """The ending tells the form; the path is absolute from here on."""
    for given_ in (path, Path(path)):
        found = file_address(given_, OPTIONS)
        assert (found.kind, found.path, found.name) == (kind, tmp_path / path, f"{kind}:{tmp_path / path}")


def test_a_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is known; somebody else's that is not is named."""
    assert file_address("~/a.json", OPTIONS).path == Path.home() / "a.json"
    with pytest.raises(ConfigurationError, match="nobody-of-this-name"):
        file_address("~nobody-of-this-name/a.json", OPTIONS)


@pytest.mark.parametrize("path", ["a.txt", "a", "", "a.json.gz", ".json", "folder/", "a.db"])
def test_other_endings_are_refused(path: str) -> None:
    """The message has the path and the endings."""
    with pytest.raises(ConfigurationError, match=r"\.json, \.jsonl, \.ndjson") as raised:
        file_address(path, OPTIONS)
    assert repr(path) in str(raised.value)


SQLITE = {
    "sqlite:///a.db": "a.db",
    "sqlite:///./sub/a.db": "sub/a.db",
    "sqlite+aiosqlite:///a.db": "a.db",
    "SQLite:///a.db": "a.db",
    "sqlite:///a%20b.db": "a b.db",
    "sqlite:///a.db?timeout=5": "a.db",
    "sqlite:///no-ending": "no-ending",
}


@pytest.mark.parametrize(("url", "path"), SQLITE.items())
def test_sqlite(url: str, path: str, tmp_path: Path) -> None:
    """No driver suffix is needed; three slashes are relative."""
    found = database(url)
    assert (found.kind, found.path, found.name) == ("sqlite", tmp_path / path, f"sqlite:{tmp_path / path}")


def test_sqlite_absolute(tmp_path: Path) -> None:
    """Four slashes are absolute."""
    assert database(f"sqlite:///{tmp_path}/deep/a.db").path == tmp_path / "deep" / "a.db"


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:", "sqlite://a.db", "sqlite:a.db",
     "sqlite:///file:x?mode=memory&cache=shared", "sqlite:///?mode=memory"],
)  # fmt: skip
def test_a_database_in_memory_is_refused(url: str) -> None:
    """It could not be read back; the message shows the two ways to name a file."""
    with pytest.raises(ConfigurationError, match=r"sqlite:///llm_metrics.db \(relative\).*sqlite:////"):
        database(url)


POSTGRES = {
    "postgresql://u:p@h:5433/d": "postgresql://h:5433/d#aicore_obs",
    "postgres://h/d": "postgresql://h:5432/d#aicore_obs",
    "postgresql+asyncpg://u@h/d": "postgresql://h:5432/d#aicore_obs",
    "PostgreSQL://H/d": "postgresql://h:5432/d#aicore_obs",
    "postgresql://u:p%40ss@h/d": "postgresql://h:5432/d#aicore_obs",
    "postgresql://u@h": "postgresql://h:5432/u#aicore_obs",
    "postgresql:///d?host=/run/pg&port=6432": "postgresql:///run/pg:6432/d#aicore_obs",
    "postgresql://h/d?sslmode=require&application_name=a%40b": "postgresql://h:5432/d#aicore_obs",
    "postgresql://[::1]:5433/d": "postgresql://::1:5433/d#aicore_obs",
    "postgresql://h1:5433,h2/d": "postgresql://h1:5433,h2:5432/d#aicore_obs",
    "postgresql:///d": "postgresql://localhost:5432/d#aicore_obs",
    "postgresql://u:p@h/?dbname=d": "postgresql://h:5432/d#aicore_obs",
}


@pytest.mark.parametrize(("url", "name"), POSTGRES.items())
def test_postgresql(url: str, name: str) -> None:
    """The name tells one database from another, whoever logs in: host, port, database, schema, no credentials."""
    found = database(url)
    assert (found.kind, found.path, found.name) == ("postgresql", None, name)


def test_names_differ_where_databases_differ() -> None:
    """Records of one can never replay into the other."""
    urls = [
        "postgresql://h/d", "postgresql://h/e", "postgresql://i/d", "postgresql://h:1/d", "postgresql:///d?host=/a",
        "postgresql:///d?host=/b", "postgresql:///d?host=/a&port=1", "postgresql://h/d?port=7", "sqlite:///d", "sqlite:///e",
    ]  # fmt: skip
    other_schema = database_address("postgresql://h/d", StoreOptions(db_schema="other"))
    assert len({other_schema.name, *(database(url).name for url in urls)}) == len(urls) + 1


@pytest.mark.parametrize(
    "url",
    ["", "h/d", "mysql://u:s3cret@h/d", "http://h", "://x", "postgresql", "a.db", None, 5, Path("a.db")],
    ids=repr,
)
def test_other_urls_are_refused(url: Any) -> None:
    """The message has the URL without its password, and shows what would do."""
    with pytest.raises(
        ConfigurationError, match=r"sqlite:///llm_metrics\.db or postgresql://|@host:5432/database"
    ) as raised:
        database(url)
    assert "s3cret" not in str(raised.value)


MALFORMED = [
    "postgresql://u:s3c/ret@h/d",
    "postgresql://u:s3c#ret@h/d",
    "postgresql://u:s3c?ret@h/d",
    "postgresql://u:s3c@ret@h:port/d",
    "postgresql://u:s3cret@h:port/d",
    "postgresql://u:s3cret@h:99999/d",
    "postgresql://u:s3cret@[::1/d",
    "postgresql://u:s3cret@h/d?port=many",
    "postgresql:u:s3cret@h/d",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_malformed_urls_are_named_without_their_passwords(url: str) -> None:
    """Not a piece of the password is in the message; how to write one is."""
    with pytest.raises(ConfigurationError, match="%40") as raised:
        database(url)
    assert raised.value.__cause__ is None
    assert not any(piece in str(raised.value) for piece in ("s3c", "ret@", "s3cret"))


SHOWN = {
    "postgresql://u:s3cret@h:5432/d": "postgresql://u@h:5432/d",
    "postgresql://u@h/d": "postgresql://u@h/d",
    "postgresql://h/d?password=s3cret": "postgresql://h/d",
    "postgresql://u:s3@cret@h/d": "postgresql://u@h/d",
    "sqlite:////home/a@b/x.db": "sqlite:////home/a@b/x.db",
    "clickhouse://u:s3cret@h/d?a=b": "clickhouse://u@h/d",
    "": "",
}


@pytest.mark.parametrize(("url", "shown"), SHOWN.items())
def test_urls_that_may_be_printed(url: str, shown: str) -> None:
    """User and place stay, password and parameters go."""
    assert without_password(url) == shown


@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=3).map(lambda text: f"{text}XYZZY{text}"))
@example("XYZZY@/?#:")
def test_no_password_is_ever_shown(password: str) -> None:
    """Whatever characters it holds, escaped or not."""
    url = f"postgresql://user:{password}@host:5432/base"
    assert "XYZZY" not in without_password(url)
    try:
        name = database(url).name
    except ConfigurationError as error:
        name = str(error)
    assert "XYZZY" not in name


PLACES = {"a.json": "json", "a.jsonl": "jsonl", "a.db": "sqlite", "a%20b?.db": "sqlite", "sqlite:///a.db": "sqlite"}


@pytest.mark.parametrize(("place", "kind"), PLACES.items())
def test_places_are_paths_or_urls(place: str, kind: str, tmp_path: Path) -> None:
    """A path is taken as it is written, a URL is decoded."""
    found = address_of(place, OPTIONS)
    assert found.kind == kind
    assert found.path == tmp_path / place.removeprefix("sqlite:///")


def test_nothing_is_made(tmp_path: Path) -> None:
    """Addresses touch nothing."""
    check_place(database("sqlite:///new/folder/a.db"))
    check_place(file_address("other/a.json", OPTIONS))
    check_place(database("postgresql://h/d"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"a\.json is a folder"):
        check_place(file_address("a.json", OPTIONS))


@pytest.mark.parametrize("name", ["sqlite:///taken/a.db", "taken/deep/a.json"])
def test_a_file_is_no_folder(name: str, tmp_path: Path) -> None:
    """A place below a file cannot be written; it is said at once and not by the writer."""
    (tmp_path / "taken").write_text("x")
    with pytest.raises(ConfigurationError, match="taken"):
        check_place(address_of(name, OPTIONS))


@pytest.mark.parametrize("name", ["a" * 300 + ".json", "a\0b.json", "sqlite:///a%00b.db", "x" * 5000 + ".db"])
def test_names_that_no_file_can_have(name: str) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigurationError, match=r"NUL|too long"):
        check_place(address_of(name, OPTIONS))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing stops this account")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    """The folder is named, and the way out."""
    (tmp_path / "closed").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ConfigurationError, match="no right to write"):
        check_place(database("sqlite:///closed/a.db"))


CONTENTS = [
    ("sqlite:///a.db", b"hello", "no SQLite database"),
    ("a.json", b'{"a": 1}', "no JSON array"),
    ("a.json", b"hello", "no JSON array"),
    ("a.jsonl", b"[1]", "no lines of JSON objects"),
]


@pytest.mark.parametrize(("place", "content", "said"), CONTENTS)
def test_files_that_are_something_else(place: str, content: bytes, said: str, tmp_path: Path) -> None:
    """They are named and left as they are."""
    path = tmp_path / place.removeprefix("sqlite:///")
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match=said):
        check_place(address_of(place, OPTIONS))
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\n", b"[]", b' \n[{"a": 1}]'])
def test_files_that_will_do(content: bytes, tmp_path: Path) -> None:
    """Empty ones, and arrays of any layout."""
    (tmp_path / "a.json").write_bytes(content)
    check_place(file_address("a.json", OPTIONS))
