"""This module is where the export is put together: sessions, events in the order of their start, the tree of traces."""

from __future__ import annotations

from typing import Any

from aicore_obs.guard import attempt, log_window
from aicore_obs.model.ids import utc_now
from aicore_obs.observer.events import event_of, seconds
from aicore_obs.observer.sessions import Session, Taken

VERSION = 1
# Deeper nodes stand beside each other: encoders and viewers give up on trees without an end.
MAX_DEPTH = 200
_NODE = ("event_type", "name", "provider", "api", "span_id", "parent_span_id", "trace_id", "session_id", "started_at",
         "ended_at", "duration_ms", "error")  # fmt: skip


def document(taken: Taken, *, include_trace_tree: bool = True) -> dict[str, Any]:
    """Return the export as plain data."""
    events = sorted(_events(taken), key=lambda event: event["started_at"])
    functions = [event for event in events if event["event_type"] == "function"]
    found: dict[str, Any] = {
        "sessions": [_session(session) for session, _ in taken.sessions],
        "events": [event for event in events if event["event_type"] == "provider"],
        "function_events": functions,
        "trace_tree": trace_tree(events) if include_trace_tree else None,
        "enh_prompt_traces": [event["enh_prompt_id"] for event in functions if event["enh_prompt_id"] is not None],
        "generated_at": seconds(utc_now()),
        "version": VERSION,
    }
    left_out = sum(session.left_out for session, _ in taken.sessions)
    if left_out or taken.sessions_left_out:
        found["left_out"] = {"events": left_out, "sessions": taken.sessions_left_out}
    return found


def trace_tree(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events, which are in the order of their start, as trees of what called what."""
    nodes = {event["span_id"]: _node(event) for event in events}
    depths: dict[str, int] = {}
    roots = []
    for event in events:
        node, parent = nodes[event["span_id"]], nodes.get(event["parent_span_id"])
        if parent is None or parent["span_id"] not in depths:
            depths[node["span_id"]] = 0
            roots.append(node)
            continue
        while depths[parent["span_id"]] >= MAX_DEPTH:
            parent = nodes[parent["parent_span_id"]]
        depths[node["span_id"]] = depths[parent["span_id"]] + 1
        parent["children"].append(node)
    return roots


def _node(event: dict[str, Any]) -> dict[str, Any]:
    node = {name: event.get(name) for name in _NODE}
    return {**node, "name": event.get("name") or event.get("api"), "children": []}


def _events(taken: Taken) -> list[dict[str, Any]]:
    found = []
    for _, lines in taken.sessions:
        for line in lines:
            outcome = attempt(event_of, line)
            if outcome.value is not None:
                found.append(outcome.value)
            else:
                log_window.warn("export", f"an event is left out of the export: {outcome.error!r}")
    return found


def _session(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "name": session.name,
        "labels": session.all_labels,
        "started_at": seconds(session.started_at),
        "ended_at": seconds(session.ended_at),
        "meta": session.meta,
    }
