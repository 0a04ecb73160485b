"""This module is where the promise is shown at work: record, kill a process in the middle of it, read everything back.

Off line: the answers of the models are made up here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any
from urllib.parse import quote

import typer

from aicore_obs import LlmOperationCollector, bind
from aicore_obs.cli import screen
from aicore_obs.errors import StoreError

# The child is killed after this many ids, in the middle of the next ones.
KILL_AFTER_IDS = 300
CHILD_TIMEOUT_S = 60.0
SHOWN_COLUMNS = ("provider", "model", "status", "latency_ms", "total_tokens", "session_id")


def demo(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", metavar="DIR", help="Where to write. Default: a new temporary directory.", show_default=False
        ),
    ] = None,
) -> None:
    """Record a few operations, kill a child in the middle of a burst, and read everything back; needs no network."""
    folder = directory or Path(tempfile.mkdtemp(prefix="aicore-obs-demo-"))
    database = folder.expanduser().absolute() / "demo.db"
    db_url = f"sqlite:///{quote(str(database))}"
    with LlmOperationCollector(db_url=db_url, project="demo", writer="internal") as collector:
        ids = [*_record(collector), *asyncio.run(_arecord(collector))]
        screen.say(f"Recorded {len(ids)} operations, half of them from async code.")
    child_ids = _kill_in_the_middle(db_url)
    screen.say(f"Killed a child process in the middle of a burst; it had been given {len(child_ids)} ids.")
    _read_back([*ids, *child_ids], db_url, database)


def _read_back(ids: Sequence[str], db_url: str, database: Path) -> None:
    with LlmOperationCollector(db_url=db_url, project="demo", writer="internal") as collector:
        flushed = collector.flush()
        frame = collector.polars_from_db()
    stored = Counter(frame["operation_id"].to_list())
    wrong = [one for one in ids if stored[one] != 1]
    screen.say(f"Opened it again, flushed ({flushed.stored} records from the journal), and read it with Polars:\n")
    screen.say(str(frame.select(SHOWN_COLUMNS)))
    screen.say(f"({len(SHOWN_COLUMNS)} of {frame.width} columns)\n")
    screen.say(f"The file: {database}")
    if wrong or not flushed:
        raise StoreError(f"{len(wrong)} of {len(ids)} ids are not there exactly once, such as {wrong[:3]}")
    screen.say(f"Each of the {len(ids)} ids that were handed out is there exactly once.")


def _record(collector: LlmOperationCollector) -> list[str]:
    """Record as a synchronous program does: with a context, a timed block, and a call that failed."""
    ids = []
    with bind(session_id="sync", labels={"team": "search"}):
        question = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is kept?"}], "temperature": 0.2}
        ids.append(collector.record_completion(question, provider="openai", response=_openai("gpt-4o"), latency_ms=840))
        with collector.operation({"model": "gpt-4o-mini", "messages": []}, provider="openai") as operation:
            operation.response = _openai("gpt-4o-mini")
        ids.append(operation.id)
        refused = TimeoutError("no answer within 30 s")
        ids.append(collector.record_completion(question, provider="openai", error=refused, latency_ms=30_000))
    return _accepted(ids)


async def _arecord(collector: LlmOperationCollector) -> list[str]:
    """Record as an asynchronous program does: several calls at once."""
    calls = [
        ("anthropic", "claude-sonnet-4-5", _anthropic()),
        ("mistral", "mistral-small-latest", _openai("mistral-small-latest")),
        ("ollama", "llama3.2", None),
    ]
    with bind(session_id="async"):
        given = await asyncio.gather(
            *(
                collector.arecord_completion(
                    {"model": model, "messages": [{"role": "user", "content": "And async?"}]},
                    provider=provider,
                    response=response,
                    latency_ms=420,
                )
                for provider, model, response in calls
            )
        )
    return _accepted(given)


def _accepted(ids: Sequence[str | None]) -> list[str]:
    accepted = [one for one in ids if one is not None]
    if len(accepted) < len(ids):
        raise StoreError("the journal refused a record; is the disk full, or AICORE_OBS_ENABLED=0 set?")
    return accepted


def _kill_in_the_middle(db_url: str) -> list[str]:
    """Start a child that records and says each id; kill it without warning; return every id that it said."""
    command = [sys.executable, "-m", "aicore_obs.cli.demo_child", db_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        # A child that hangs must not hang us: killed, its output ends.
        limit = threading.Timer(CHILD_TIMEOUT_S, child.kill)
        limit.start()
        try:
            ids = _ids(child, child.stdout)
        finally:
            limit.cancel()
            child.kill()
    if len(ids) < KILL_AFTER_IDS:
        raise StoreError(f"the child ended by itself after {len(ids)} records")
    return ids


def _ids(child: subprocess.Popen[str], output: IO[str] | None) -> list[str]:
    if output is None:
        return []
    said = list(islice(output, KILL_AFTER_IDS))
    child.kill()
    said += output
    # The last line may have been cut by the end.
    return [line.strip() for line in said if line.endswith("\n")]


def _openai(model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-demo",
        "model": model,
        "choices": [{"message": {"role": "assistant", "content": "Everything."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 26},
    }


def _anthropic() -> dict[str, Any]:
    return {
        "id": "msg_demo",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Async too."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 18, "output_tokens": 6},
    }
