"""This module is where options and environment variables are checked: typed, read on call, named when wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aicore_obs.errors import ConfigurationError
from aicore_obs.settings import ENVIRONMENT, Settings, from_environment, one_of, parse_size, state_directories


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def test_without_variables_everything_is_usual() -> None:
    """Content is recorded, files are the owner's alone, and no store is named."""
    assert from_environment() == Settings(
        db_url=None,
        storage_path=None,
        enabled=True,
        capture_content=True,
        capture_media=False,
        max_content_bytes=None,
        content_sample_rate=1.0,
        migrate=None,
        prices=None,
        estimate_tokens=True,
        mirror=False,
        mirror_max_bytes=2**30,
        file_mode=0o600,
        writer=None,
    )


def test_an_empty_variable_is_none() -> None:
    """As if it were not set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ENVIRONMENT:
            patch.setenv(name, "")
        assert from_environment() == Settings(
            db_url=None,
            storage_path=None,
            enabled=True,
            capture_content=True,
            capture_media=False,
            max_content_bytes=None,
            content_sample_rate=1.0,
            migrate=None,
            prices=None,
            estimate_tokens=True,
            mirror=False,
            mirror_max_bytes=2**30,
            file_mode=0o600,
            writer=None,
        )


def test_variables_are_read_on_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is seen at the next call."""
    monkeypatch.setenv("AICORE_OBS_DB_URL", "sqlite:///a.db")
    monkeypatch.setenv("AICORE_OBS_STORAGE_PATH", "a.json")
    monkeypatch.setenv("AICORE_OBS_MIGRATE", "never")
    settings = from_environment()
    assert (settings.db_url, settings.storage_path, settings.migrate) == ("sqlite:///a.db", "a.json", "never")
    monkeypatch.delenv("AICORE_OBS_DB_URL")
    assert from_environment().db_url is None


SWITCHES = ("ENABLED", "CAPTURE_CONTENT", "CAPTURE_MEDIA", "ESTIMATE_TOKENS")


@pytest.mark.parametrize("name", [f"AICORE_OBS_{name}" for name in SWITCHES])
def test_switches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words for on and off, in any case; anything else is named."""
    field = name.removeprefix("AICORE_OBS_").lower()
    for value, expected in {"1": True, "true": True, "On": True, "0": False, "FALSE": False, " off ": False}.items():
        monkeypatch.setenv(name, value)
        assert getattr(from_environment(), field) is expected
    monkeypatch.setenv(name, "maybe")
    with pytest.raises(ConfigurationError, match=f"{name}='maybe'"):
        from_environment()


def test_how_much_content_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size in words, a share from 0 to 1; anything else is named."""
    monkeypatch.setenv("AICORE_OBS_MAX_CONTENT_BYTES", "64KB")
    monkeypatch.setenv("AICORE_OBS_CONTENT_SAMPLE_RATE", "0.25")
    found = from_environment()
    assert (found.max_content_bytes, found.content_sample_rate) == (64_000, 0.25)
    for wrong in ("much", "5 elephants", "255", "-1"):
        monkeypatch.setenv("AICORE_OBS_MAX_CONTENT_BYTES", wrong)
        with pytest.raises(ConfigurationError, match=f"AICORE_OBS_MAX_CONTENT_BYTES='{wrong}'"):
            from_environment()
    monkeypatch.delenv("AICORE_OBS_MAX_CONTENT_BYTES")
    for wrong in ("often", "10%", "1.01", "-0.1", "nan"):
        monkeypatch.setenv("AICORE_OBS_CONTENT_SAMPLE_RATE", wrong)
        with pytest.raises(ConfigurationError, match=r"AICORE_OBS_CONTENT_SAMPLE_RATE=.*from 0 to 1"):
            from_environment()


def test_the_mode_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Octal, readable by the owner at least."""
    for value, mode in {"0640": 0o640, "600": 0o600, "0o644": 0o644}.items():
        monkeypatch.setenv("AICORE_OBS_FILE_MODE", value)
        assert from_environment().file_mode == mode
    for wrong in ("0999", "rw", "-600", "7777", "0", "0x1ff"):
        monkeypatch.setenv("AICORE_OBS_FILE_MODE", wrong)
        with pytest.raises(ConfigurationError, match=f"AICORE_OBS_FILE_MODE='{wrong}'"):
            from_environment()


def test_migrate_is_one_of_two_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the value and the words."""
    monkeypatch.setenv("AICORE_OBS_MIGRATE", "always")
    with pytest.raises(ConfigurationError, match=r"AICORE_OBS_MIGRATE='always'.*auto, never"):
        from_environment()


SIZES: list[tuple[Any, int]] = [
    ("50KB", 50_000),
    ("50kb", 50_000),
    ("50KiB", 51_200),
    ("1.5 MB", 1_500_000),
    (" 64 MiB ", 64 * 1024**2),
    ("1GiB", 1024**3),
    ("2GB", 2 * 10**9),
    ("100", 100),
    ("7b", 7),
    (0, 0),
    (4096, 4096),
    ("9007199254740993", 9007199254740993),
]


@pytest.mark.parametrize(("given", "size"), SIZES, ids=repr)
def test_sizes(given: Any, size: int) -> None:
    """KB is a thousand, KiB is 1024."""
    assert parse_size("option", given) == size


@pytest.mark.parametrize(
    "wrong", ["", "KB", "50 XB", "-1", "-5KB", "1e3", "50KBs", "1,5MB", -1, 1.5, True, None, []], ids=repr
)
def test_a_wrong_size_is_named(wrong: Any) -> None:
    """The message has the option, the value and an example."""
    with pytest.raises(ConfigurationError) as raised:
        parse_size("journal_max_bytes", wrong)
    assert f"journal_max_bytes={wrong!r}" in str(raised.value)
    assert "64MB" in str(raised.value)


def test_one_of() -> None:
    """None is no choice; a wrong one is named with the right ones."""
    assert one_of("x", None, ("a", "b")) is None
    assert one_of("x", "a", ("a", "b")) == "a"
    with pytest.raises(ConfigurationError, match="x='c': it is one of a, b"):
        one_of("x", "c", ("a", "b"))


def test_the_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable's alone when it is set; else the platform's, then the temporary one. All absolute."""
    usual = state_directories()
    assert len(usual) == 2
    assert all(path.is_absolute() for path in usual)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", "here")
    assert state_directories() == [tmp_path / "here"]
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", "~/here")
    assert state_directories() == [Path.home() / "here"]
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", "~nobody-of-this-name/here")
    with pytest.raises(ConfigurationError, match="AICORE_OBS_STATE_DIR='~nobody"):
        state_directories()
