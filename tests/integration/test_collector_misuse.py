"""This module is where a collector is used wrongly: every error names the value and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aicore_obs import ConfigurationError, FilterError, LlmOperationCollector, StoreError
from aicore_obs.errors import StoreDamagedError, UnknownParameterError

CALL: dict[str, Any] = {"model": "gpt-4"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DB_URL", "STORAGE_PATH", "ENABLED", "CAPTURE_CONTENT", "MIGRATE", "FILE_MODE"):
        monkeypatch.delenv(f"AICORE_OBS_{name}", raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"db_url": "mysql://root:hunter2@host/db"}, r"mysql://root@host/db.*sqlite:///"),
        ({"db_url": "sqlite://"}, "sqlite:///llm_metrics.db"),
        ({"db_url": "sqlite:///:memory:"}, "memory"),
        ({"db_url": "postgresql://u:hunter2@host:notaport/db"}, "u@host:notaport"),
        ({"storage_path": "calls.txt"}, r"calls\.txt.*\.json"),
        ({"storage_path": "folder.json"}, "folder"),
        ({"durability": "forever"}, r"forever.*process, disk, memory"),
        ({"overflow": "explode"}, "explode.*drop_newest"),
        ({"migrate": "sometimes"}, "sometimes.*auto, never"),
        ({"journal_max_bytes": "50 parsecs"}, "50 parsecs"),
        ({"sinks": [42]}, "42.*write"),
        ({"db_url": "sqlite:///same.db", "sinks": ["sqlite:///same.db"]}, "twice"),
        ({"colour": "red"}, "colour.*durability"),
    ],
)
def test_misuse_names_the_value_and_the_way_out(options: dict[str, Any], said: str) -> None:
    """At once, in the constructor, and without a password."""
    Path("folder.json").mkdir()
    with pytest.raises((ConfigurationError, UnknownParameterError), match=said) as caught:
        LlmOperationCollector(**options)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("calls.db", b"this is no database at all, but a text of some length" * 50, "no SQLite database"),
        ("calls.json", b'{"an": "object"}', "no JSON array"),
        ("calls.jsonl", b"\x00\x01\n\x02\n", "no lines of JSON"),
    ],
)
def test_a_file_that_is_something_else_is_left_alone(name: str, content: bytes, said: str) -> None:
    """Writing and reading both say what it is, and not a byte changes."""
    Path(name).write_bytes(content)
    place = {"db_url": f"sqlite:///{name}"} if name.endswith(".db") else {"storage_path": name}
    with pytest.raises(StoreDamagedError, match=said):
        LlmOperationCollector(**place)
    is_database = name.endswith(".db")
    read = LlmOperationCollector.polars_from_db if is_database else LlmOperationCollector.polars_from_file
    with pytest.raises(StoreError, match=name):
        read(f"sqlite:///{name}" if is_database else name)
    assert Path(name).read_bytes() == content


def test_wrong_filters_list_the_right_ones() -> None:
    """Names and values, before anything is read."""
    with LlmOperationCollector() as collector:
        with pytest.raises(FilterError, match=r"provder.*provider"):
            collector.polars_from_db(provder="openai")
        with pytest.raises(FilterError, match="ok, error"):
            collector.polars_from_db(status="fine")
        with pytest.raises(FilterError, match="2023-13-01"):
            collector.scan_db(start_date="2023-13-01")
        with pytest.raises(FilterError, match="operation_id"):
            collector.polars_from_db(columns=["id"])


def test_a_closed_collector_refuses_and_counts() -> None:
    """Closing twice is harmless; a record after it is no exception but a number."""
    collector = LlmOperationCollector()
    collector.record_completion(CALL)
    assert collector.close()
    assert collector.close()
    assert collector.record_completion(CALL) is None
    assert collector.stats().refused == {"closed": 1}
    assert collector.flush()


def test_prices_that_the_program_names_come_before_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rows are prices too; and a file that is named and not there is said by its name."""
    monkeypatch.setenv("AICORE_OBS_PRICES", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match=r"none\.toml: the price book cannot be read"):
        LlmOperationCollector(storage_path=tmp_path / "some.jsonl")
    LlmOperationCollector(storage_path=tmp_path / "some.jsonl", prices=[]).close()
