"""This module is where instrumentation meets what cannot work: no collector, a changed SDK, hooks that fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aicore_obs
from aicore_obs.observer import patching
from aicore_obs.protocols import Hook
from tests import sdk_calls as calls
from tests.model_server import ModelServer, model_server
from tests.observed import observing


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


def test_a_collector_that_cannot_be_made_disturbs_no_call(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a store that cannot work, the call answers all the same."""
    plain = calls.chat(server)
    with observing(tmp_path, monkeypatch):
        aicore_obs.instrument()
        aicore_obs.get_collector().close()
        monkeypatch.setattr("aicore_obs.default._default.make", lambda: 1 / 0)
        assert calls.chat(server) == plain
        assert calls.chat_stream(server)[0] is not None
        monkeypatch.undo()


def _hook(**fields: object) -> Hook:
    usual = {
        "package": "openai",
        "module": "openai._base_client",
        "function": "SyncAPIClient.request",
        "tested": "0.1",
        "parameters": (),
        "read_call": lambda *_: None,
    }
    return Hook(**{**usual, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed", [{"function": "SyncAPIClient.asked"}, {"function": "Gone.request"}, {"parameters": ("new",)}]
)
def test_an_sdk_that_has_changed_is_left_alone_with_one_warning(
    changed: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that does not fit patches nothing, raises nothing, and is told once, with the versions."""
    monkeypatch.setattr(patching, "_hooks", lambda: [("openai", _hook(**changed))])
    monkeypatch.setattr(patching.log_window, "_next", {})
    with observing(tmp_path, monkeypatch):
        aicore_obs.instrument()
        aicore_obs.instrument()
    told = [record.getMessage() for record in caplog.records if "not what was tested" in record.getMessage()]
    assert len(told) == 1
    assert "(0.1)" in told[0]


def test_a_reader_that_fails_disturbs_no_call(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A description that raises costs the record, and nothing else."""
    plain = calls.chat(server)

    def fail(*_: object) -> None:
        raise RuntimeError("a reader's own fault")

    monkeypatch.setattr(patching, "_hooks", lambda: [("openai", _hook(read_call=fail))])
    with observing(tmp_path, monkeypatch) as collector:
        aicore_obs.instrument()
        assert calls.chat(server) == plain
        assert collector.stats().offered == 0


def test_switched_off(server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With AICORE_OBS_ENABLED=0 no SDK is touched."""
    import openai

    monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    before = vars(openai._base_client.SyncAPIClient)["request"]
    with observing(tmp_path, monkeypatch):
        assert aicore_obs.instrument() == []
        assert vars(openai._base_client.SyncAPIClient)["request"] is before
    assert not list(tmp_path.iterdir())


PROGRAM = """
import sys
import aicore_obs
collector = aicore_obs.configure(db_url="sqlite:///late.db")
aicore_obs.instrument()
assert not {"openai", "anthropic", "google.genai", "groq"} & set(sys.modules)
from tests import sdk_calls, model_server
with model_server.model_server() as server:
    sdk_calls.chat(server)
    client = sdk_calls.openai_client(server)
    stream = client.chat.completions.create(**sdk_calls.CHAT, stream=True)
    next(stream)
"""


def test_sdks_that_are_imported_later_and_streams_that_are_open_at_the_end(tmp_path: Path) -> None:
    """Nothing is imported for the user; what is imported later is recorded, an open stream at the program's end too."""
    root = str(Path(__file__).parent.parent.parent)
    program = f"import sys; sys.path.insert(0, {root!r})\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    frame = aicore_obs.LlmOperationCollector.polars_from_db(f"sqlite:///{tmp_path}/late.db")
    assert frame["stream_state"].to_list() == [None, "abandoned"]
