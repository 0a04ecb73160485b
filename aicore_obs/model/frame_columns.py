"""This module is where the columns of a frame of operations are listed, once, in their order.

The Polars types are in :mod:`aicore_obs.stores.frame`; here is only what needs no Polars.
"""

from __future__ import annotations

from aicore_obs.model.usage import COUNT_FIELDS, TOKEN_FIELDS

COST_COLUMNS: tuple[str, ...] = (
    "cost_usd",
    "input_cost_usd",
    "output_cost_usd",
    "cost_source",
    "cost_reason",
    "price_id",
)
FRAME_COLUMNS: tuple[str, ...] = (
    "operation_id",
    "timestamp",
    "project",
    "operation_type",
    "provider",
    "model",
    "response_model",
    "priced_model",
    "api",
    "server_address",
    "status",
    "finish_reason",
    "response_id",
    "latency_ms",
    "time_to_first_token_ms",
    "stream_state",
    "temperature",
    "max_tokens",
    *TOKEN_FIELDS,
    *COUNT_FIELDS,
    "usage_source",
    *COST_COLUMNS,
    "session_id",
    "run_id",
    "trace_id",
    "span_id",
    "parent_id",
    "seq",
    "workspace",
    "agent_id",
    "action_id",
    "user_id",
    "tags",
    "labels",
    "error_type",
    "error_message",
    "error_stack",
    "completion_args",
    "response",
    "response_text",
    "extras",
)
# What people said of an operation. A frame has them where they are asked for: they are looked up for each operation.
OPINION_COLUMNS: tuple[str, ...] = ("flags", "scores")
PAYLOAD_COLUMNS = frozenset({"completion_args", "response", "response_text"})
# The reason that is shown where an operation has neither a cost nor a reason: a program wrote it that priced nothing.
NOT_PRICED = "not priced"
# The columns of the ledger of costs: a row for each operation as it was recorded (revision 0), and for each revision.
LEDGER_COLUMNS: tuple[str, ...] = (
    "operation_id",
    "revision",
    "recorded_at",
    "author",
    "priced_model",
    *COST_COLUMNS,
    "price_book",
    "cost_lines",
)
