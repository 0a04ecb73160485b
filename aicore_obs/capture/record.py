"""This module is where the arguments of ``record_completion`` become an operation's bytes.

The usual case is one pass: check a few types, look at the keys of the arguments, encode once. What does not go through
that way takes the slow road (:mod:`aicore_obs.capture.plain`). No value that a caller passes can raise.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

import msgspec

from aicore_obs.capture.plain import encode_hook, holds_nan, odd_objects, printable, to_plain, with_texts
from aicore_obs.capture.redaction import scrub, without_secrets
from aicore_obs.context import EMPTY, Context, current
from aicore_obs.errors import UnknownParameterError
from aicore_obs.guard import attempt, log_window
from aicore_obs.model.escape import escape
from aicore_obs.model.ids import from_microseconds, new_id, utc_now
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import CODEC_VERSION, ErrorInfo

Content = dict[str, Any]
MAX_STACK_FRAMES = 50


class RecordOptions(TypedDict, total=False):
    """The keyword-only parameters of ``record_completion``."""

    error: BaseException | str | Mapping[str, Any] | None
    extras: Mapping[str, Any] | None
    timestamp: datetime | str | float | None
    time_to_first_token_ms: float | None
    api: str | None
    session_id: str | None
    run_id: str | None
    workspace: str | None
    agent_id: str | None
    action_id: str | None
    user_id: str | None
    tags: tuple[str, ...] | list[str]
    labels: Mapping[str, str] | None


class Captured(msgspec.Struct, frozen=True, gc=False):
    """A record ready for the journal: its id, its line of JSON, and whether a value of it was odd."""

    id: str
    line: bytes
    odd: bool


_encoder = msgspec.json.Encoder(enc_hook=encode_hook)
_decoder = msgspec.json.Decoder(Operation)
# What the encoder raises for values that JSON has no word for: lone surrogates, integers past 64 bits, keys that are
# no text, depth, a container that another thread changes under us.
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError, RuntimeError)
_NUMBERS = frozenset({float, int})
_NO_FIELDS: dict[str, Any] = {}
_CONTENT = ("completion_args", "response", "extras")


class Capture:
    """Turns the arguments of ``record_completion`` into a record's bytes, by one collector's settings.

    ``redact`` gets ``{"completion_args", "response", "extras", "error"}`` as plain data and returns the same keys;
    when it fails, the content is dropped. ``derive`` reads numbers from a raw operation; it runs here where content is
    not captured, since then nobody can read them later.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        redact: Callable[[Content], Content] | None = None,
        capture_content: bool = True,
        derive: Callable[[Operation], Derived | None],
    ) -> None:
        self._project = project
        self._redact = redact
        self._capture_content = capture_content
        self._derive = derive
        self._is_plain = redact is None and capture_content

    def operation(
        self,
        completion_args: Any,
        operation_type: Any,
        provider: Any,
        response: Any,
        latency_ms: Any,
        options: RecordOptions | Mapping[str, Any],
    ) -> Captured:
        """Return one operation as bytes.

        Raises:
            UnknownParameterError: ``options`` has a name that is no parameter; nothing else is ever raised.
        """
        odd: dict[str, Any] = {}
        context = current()
        fields = _fields(context, options, odd) if options or context is not EMPTY else _NO_FIELDS
        if type(operation_type) is not str:
            operation_type = _text("operation_type", operation_type, odd) or "completion"
        if provider is not None and type(provider) is not str:
            provider = _text("provider", provider, odd)
        if latency_ms is not None and not (type(latency_ms) in _NUMBERS and 0 <= latency_ms < math.inf):
            latency_ms = _quantity("latency_ms", latency_ms, odd)
        operation = Operation(
            id=new_id(),
            timestamp=fields.get("timestamp") or utc_now(),
            v=CODEC_VERSION,
            project=fields.get("project", self._project),
            operation_type=operation_type,
            provider=provider,
            latency_ms=latency_ms,
            completion_args=without_secrets(completion_args),
            response=msgspec.UNSET if response is None else response,
            odd=odd,
        )
        if fields:
            operation = msgspec.structs.replace(operation, **{**fields, "timestamp": operation.timestamp})
        if self._is_plain:
            line = _encode(operation)
            if line is not None:
                return Captured(operation.id, line, bool(odd))
        return self._finished(operation)

    def _finished(self, operation: Operation) -> Captured:
        """Take the slow road: a hook to run, content to leave out, or a value that does not encode."""
        if self._redact is not None:
            operation = self._redacted(operation, self._redact)
        line = _encode(operation)
        odd = bool(operation.odd)
        if line is None:
            operation = _made_plain(operation)
            line, odd = _encoder.encode(operation), True
        if not self._capture_content:
            line = self._numbers_only(line)
        return Captured(operation.id, line, odd)

    def _redacted(self, operation: Operation, redact: Callable[[Content], Content]) -> Operation:
        """Run the user's hook over a plain copy; its failure drops the content and never leaks it."""
        given = {name: _given(operation, name) for name in _CONTENT}
        error = operation.error
        plain = to_plain({**given, "error": error and msgspec.to_builtins(error)})[0]
        answer = attempt(redact, plain)
        changes = attempt(_content_changes, answer.value) if answer.error is None else None
        if changes is not None and changes.value is not None:
            return msgspec.structs.replace(operation, **changes.value)
        log_window.warn("redact", f"the redact hook failed, content is dropped: {answer.error!r}")
        return msgspec.structs.replace(
            operation,
            **dict.fromkeys(_CONTENT, msgspec.UNSET),
            error=error and ErrorInfo(type=error.type),
            odd={**operation.odd, "redact": "content dropped: the redact hook failed"},
        )

    def _numbers_only(self, line: bytes) -> bytes:
        """Take everything away that a person said or a model wrote, after reading the numbers out of it."""
        operation = _decoder.decode(line)
        error = operation.error
        bare = msgspec.structs.replace(
            operation,
            completion_args=msgspec.UNSET,
            response=msgspec.UNSET,
            error=error and ErrorInfo(type=error.type),
            derived=attempt(self._derive, operation).value,
        )
        return _encoder.encode(bare)


def _encode(operation: Operation) -> bytes | None:
    """Encode in one pass; None when a value needs the slow road."""
    try:
        line = _encoder.encode(operation)
    except _UNENCODABLE:
        odd_objects.pop()
        return None
    if (odd_objects.seen and odd_objects.pop()) or holds_nan(
        operation.completion_args, operation.response, operation.extras
    ):
        return None
    return line


def _made_plain(operation: Operation) -> Operation:
    """Make every value plain so that it always encodes, and mark in ``odd`` what had to be changed."""
    odd = {name: to_plain(value)[0] for name, value in operation.odd.items()}
    content: dict[str, Any] = {}
    escaped = False
    for name in _CONTENT:
        value, changes = to_plain(_given(operation, name))
        content[name] = value
        # A frame has no place for escapes inside extras: there, as in labels, a surrogate stands by its name.
        escaped = escaped or (changes.escaped and name != "extras")
        if changes.kinds:
            odd[name] = ", ".join(sorted(changes.kinds))
    extras = content.pop("extras")
    if escaped:
        content = with_texts(content, escape)
    content["extras"] = msgspec.UNSET if extras is None else with_texts(extras, printable)
    if operation.response is msgspec.UNSET:
        content["response"] = msgspec.UNSET
    header = {name: printable(value) for name, value in _header_texts(operation).items()}
    header_lists = {
        "labels": {printable(key): printable(value) for key, value in operation.labels.items()},
        "tags": tuple(map(printable, operation.tags)),
        "odd": {key: printable(value) if isinstance(value, str) else value for key, value in odd.items()},
    }
    error = operation.error and _error(
        {"type": operation.error.type, "message": operation.error.message, "stack": operation.error.stack}
    )
    return msgspec.structs.replace(operation, **header, **header_lists, **content, error=error, escaped=escaped)


def _header_texts(operation: Operation) -> dict[str, str]:
    values = {name: getattr(operation, name) for name in operation.__struct_fields__ if name not in _CONTENT}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _given(operation: Operation, name: str) -> Any:
    value = getattr(operation, name)
    return None if value is msgspec.UNSET else value


def _content_changes(answer: Any) -> dict[str, Any]:
    changes = {name: msgspec.UNSET if answer.get(name) is None else answer[name] for name in _CONTENT}
    return {**changes, "error": _error(answer.get("error"))}


def _fields(context: Context, options: Mapping[str, Any], odd: dict[str, Any]) -> dict[str, Any]:
    """Return the record's fields from the caller's context and options, checked."""
    unknown = options.keys() - _OPTION_CHECKS.keys()
    if unknown:
        names = ", ".join(map(repr, sorted(unknown)))
        raise UnknownParameterError(
            f"record_completion() has no parameter {names}; keywords are: {', '.join(_OPTION_CHECKS)} "
            "(anything else belongs into extras)"
        )
    fields = (
        {}
        if context is EMPTY
        else {name: value for name in Context.__struct_fields__ if (value := getattr(context, name))}
    )
    for name, value in options.items():
        if value is not None:
            checked = _OPTION_CHECKS[name](name, value, odd)
            fields[name] = _added(fields.get(name), checked)
    if "extras" in fields:
        fields["extras"] = without_secrets(fields["extras"])
    return fields


def _added(outer: Any, inner: Any) -> Any:
    """Labels, tags and extras add to those of the context; anything else replaces."""
    if isinstance(outer, dict):
        return {**outer, **inner}
    return tuple(dict.fromkeys((*outer, *inner))) if isinstance(outer, tuple) else inner


def _text(name: str, value: Any, odd: dict[str, Any]) -> str | None:
    if value is None or type(value) is str:
        return value
    text = str.__str__(value) if isinstance(value, str) else encode_text(value)
    if not isinstance(value, str | int):
        odd[name] = text
    return text


def encode_text(value: Any) -> str:
    """Return any value as text: an enum's value, else its ``str``, else the name of its type."""
    value = getattr(value, "value", value) if hasattr(type(value), "__members__") else value
    text = attempt(str, value).value
    return text if isinstance(text, str) else f"<{type(value).__name__}>"


def _quantity(name: str, value: Any, odd: dict[str, Any]) -> float | None:
    """Keep a number as given (marked when negative); what is no finite number is kept in ``odd`` only."""
    number = attempt(float, value).value if not isinstance(value, bool) else None
    if number is None or not math.isfinite(number) or isinstance(value, str):
        odd[name] = encode_text(value)
        return None
    if number < 0:
        odd[name] = number
    return number


def _timestamp(name: str, value: Any, odd: dict[str, Any]) -> datetime | None:
    when = attempt(_as_time, value).value
    if when is None:
        odd[name] = encode_text(value)
    return when


def _as_time(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    return from_microseconds(round(float(value) * 1_000_000))


def _labels(name: str, value: Any, odd: dict[str, Any]) -> dict[str, str]:
    pairs = attempt(lambda: list(value.items())).value
    if pairs is None:
        odd[name] = encode_text(value)
        return {}
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in pairs):
        odd[name] = encode_text(value)
    return {encode_text(key): encode_text(text) for key, text in pairs}


def _tags(name: str, value: Any, odd: dict[str, Any]) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else attempt(lambda: list(value)).value
    if items is None:
        items = [value]
    if not all(isinstance(item, str) for item in items) or isinstance(value, str):
        odd[name] = encode_text(value)
    return tuple(map(encode_text, items))


def _extras(name: str, value: Any, odd: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    plain = to_plain(value)[0]
    if isinstance(plain, dict):
        return plain
    odd[name] = "no mapping; kept under the key 'value'"
    return {"value": plain}


def _error(value: Any) -> ErrorInfo | None:
    """Return what an error says, whatever form it came in, without keys and passwords."""
    if value is None or isinstance(value, ErrorInfo):
        return value
    if isinstance(value, BaseException):
        stack = attempt(lambda: "".join(traceback.format_exception(value, limit=MAX_STACK_FRAMES))).value
        parts = {"type": type(value).__name__, "message": encode_text(value), "stack": stack}
    elif isinstance(value, Mapping):
        parts = {name: value.get(name) for name in ("type", "message", "stack")}
    else:
        parts = {"message": encode_text(value)}
    return ErrorInfo(**{name: printable(scrub(encode_text(part))) for name, part in parts.items() if part is not None})


_OPTION_CHECKS: dict[str, Callable[[str, Any, dict[str, Any]], Any]] = {
    "error": lambda _name, value, _odd: _error(value),
    "extras": _extras,
    "timestamp": _timestamp,
    "time_to_first_token_ms": _quantity,
    "api": _text,
    "session_id": _text,
    "run_id": _text,
    "workspace": _text,
    "agent_id": _text,
    "action_id": _text,
    "user_id": _text,
    "tags": _tags,
    "labels": _labels,
}
