"""This module is where the first law is held for LangChain: what a program sees is the same with us and without.

One request is one operation, in the tree of the runs around it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

import aicore_obs
from aicore_obs.model.ids import new_id
from aicore_obs.observer import observer
from tests import chains
from tests import sdk_calls as calls
from tests.model_server import ModelServer, model_server
from tests.observed import observing

CHAT, MESSAGES, OWN = "chat.completions.create", "messages.create", "langchain.chat_model"
# Steps by name, operations by their call: what stands below each.
Tree = dict[str, Any] | list[Any]
AGENT: Tree = [("painter", [("model", [CHAT]), ("tools", [("look_up", [])]), ("model", [CHAT])])]

# The program → the tree that it leaves.
SHAPES: list[tuple[Any, Tree]] = [
    (chains.invoke, [CHAT]),
    (chains.stream, [CHAT]),
    (chains.ainvoke, [CHAT]),
    (chains.astream, [CHAT]),
    (chains.fails, [("answer", [CHAT])]),
    (chains.acancelled, [("answer", [CHAT])]),
    (chains.stream_closed_early, [("answer", [CHAT])]),
    (chains.chain, [("answer", [CHAT])]),
    (chains.chain_streamed, [("answer", [CHAT])]),
    (chains.achain_events, [("answer", [CHAT])]),
    (chains.events, [CHAT]),
    (chains.batched, [("answer", [CHAT]), ("answer", [CHAT])]),
    (chains.abatched, [("answer", [CHAT]), ("answer", [CHAT])]),
    (chains.generated, [CHAT, CHAT]),
    (chains.branches, [("both", [CHAT, ("answer", [CHAT]), ("named", [])])]),
    (chains.falls_back, [("RunnableWithFallbacks", [CHAT, CHAT])]),
    (chains.structured, [("RunnableSequence", [CHAT])]),
    (chains.lost_context, [("outside", [CHAT])]),
    (chains.retrieved, [("Shelf", ["embeddings.create"])]),
    (chains.aretrieved, [("AskingShelf", [OWN, "embeddings.create"])]),
    (chains.agent, AGENT),
    (chains.aagent, AGENT),
    (chains.agent_streamed, AGENT),
    (chains.aagent_tokens, AGENT),
    (chains.anthropic_invoke, [MESSAGES]),
    (chains.anthropic_stream, [MESSAGES]),
    (chains.anthropic_fails, [MESSAGES]),
    (chains.own_invoke, [OWN]),
    (chains.own_stream, [OWN]),
    (chains.own_astream, [OWN]),
    (chains.own_events, [OWN]),
    (chains.own_closed_early, [OWN]),
    (chains.own_fails, [OWN]),
    (chains.own_generated, [OWN, OWN]),
    (chains.own_text, ["langchain.llm"]),
    (chains.own_cached, [OWN, ("GenericFakeChatModel", [])]),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aicore_obs.LlmOperationCollector]:
    directory = tmp_path_factory.mktemp("chains")
    with pytest.MonkeyPatch.context() as monkeypatch, observing(directory, monkeypatch) as collector:
        monkeypatch.setenv("AICORE_OBS_ESTIMATE_TOKENS", "0")
        monkeypatch.setenv("LANGSMITH_TRACING", "false")
        yield collector


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


class Recorded:
    """What was recorded in one test."""

    def __init__(self, store: aicore_obs.LlmOperationCollector) -> None:
        self._store = store
        self.run_id = new_id()

    def rows(self) -> list[dict[str, Any]]:
        return self._store.polars_from_db(run_id=self.run_id, order="asc").to_dicts()

    def tree(self) -> Any:
        self._store.flush()
        apis = {row["operation_id"]: row["api"] for row in self.rows()}
        facts = aicore_obs.show_trace(self.run_id, self._store).facts

        def below(nodes: Any) -> Any:
            return [apis[node.id] if node.is_operation else (node.name, below(node.children)) for node in nodes]

        return below(facts.roots)


@pytest.fixture
def recorded(store: aicore_obs.LlmOperationCollector) -> Iterator[Recorded]:
    found = Recorded(store)
    with aicore_obs.bind(run_id=found.run_id):
        yield found
    observer.reset()


def _made(program: Any, server: ModelServer) -> Any:
    server.requests.clear()
    return asyncio.run(program(server)) if inspect.iscoroutinefunction(program) else program(server)


def _sorted(tree: Any) -> Any:
    """Return a tree whose branches have one order: those that run at once begin in any."""
    made = [(one[0], _sorted(one[1])) if isinstance(one, tuple) else one for one in tree]
    return sorted(made, key=str)


@pytest.mark.parametrize(("program", "tree"), SHAPES, ids=[program.__name__ for program, _ in SHAPES])
def test_a_program_is_the_same_and_leaves_its_tree(
    program: Any, tree: Tree, server: ModelServer, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """Values, types and exceptions are those of the plain program; one request is one operation, where it was made."""
    plain = _made(program, server)
    aicore_obs.instrument()
    assert _made(program, server) == plain
    assert not caplog.records
    assert _sorted(recorded.tree()) == _sorted(tree)
    for row in recorded.rows():
        site = json.loads((row["extras"] or {}).get("callsite") or "null")
        # A task that is made of the framework's own coroutine has no frame of the application.
        assert (site is None) == (program in (chains.acancelled, chains.abatched, chains.achain_events))
        assert site is None or site["file"] in (chains.__file__, calls.__file__)
