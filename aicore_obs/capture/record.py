"""This module is where the arguments of ``record_completion`` become an operation's bytes.

The usual case is one pass: check a few types, look at the keys of the arguments, encode once. What does not go through
that way takes the slow road (:mod:`aicore_obs.capture.plain`). No value that a caller passes can raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aicore_obs.capture.fields import (
    RecordOptions,
    check_parameters,
    error_of,
    fields_of,
    quantity_of,
    rescued_fields,
    text_of,
)
from aicore_obs.capture.limits import CUT, SAMPLED_OUT, Limits, cut, with_state
from aicore_obs.capture.media import MIN_CHARS, may_hold_media, without_media
from aicore_obs.capture.plain import encodable, encode_hook, holds_nan, printable, to_plain
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.context import EMPTY, current
from aicore_obs.guard import attempt, attempt_briefly, log_window, rescued
from aicore_obs.model.escape import escape
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import FIRST_VERSION, ErrorInfo
from aicore_obs.model.usage import NO_USAGE

Content = dict[str, Any]


class Captured(msgspec.Struct, frozen=True, gc=False):
    """A record ready for the journal: its id, its line of JSON, and whether a value of it was odd.

    ``is_known``: it is a newer version of an operation that was recorded, and counted, before.
    """

    id: str
    line: bytes
    odd: bool
    is_known: bool = False


_encoder = msgspec.json.Encoder(enc_hook=encode_hook)
_decoder = msgspec.json.Decoder(Operation)
# What the encoder raises for values that JSON has no word for: lone surrogates, integers past 64 bits, keys that are
# no text, depth, a container that another thread changes under us.
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError, RuntimeError)
_NUMBERS = frozenset({float, int})
# As a number: bytes are searched for it four times as fast.
_LINE_END = ord("\n")
# Above this (31,000 years in milliseconds) a number is not a duration, and may not fit into 64 bits.
_MAX_QUANTITY = 1e15
_CONTENT = ("completion_args", "response", "extras")
_PAYLOADS = ("completion_args", "response")
_ALL = Limits()


class Capture:
    """Turns the arguments of ``record_completion`` into a record's bytes, by one collector's settings.

    ``redact`` gets ``{"completion_args", "response", "extras", "error"}`` as plain data and returns the same keys;
    when it fails, the content is dropped. ``derive`` reads numbers from a raw operation; it runs here where content is
    left out or cut, since then nobody can read them later.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        redact: Callable[[Content], Content] | None = None,
        capture_content: bool = True,
        limits: Limits = _ALL,
        derive: Callable[[Operation], Derived | None],
    ) -> None:
        self._project = project
        self._redact = redact
        self._capture_content = capture_content
        self._derive = derive
        self._limits = limits
        # A shorter line has nothing to cut and no media to replace.
        self._small = limits.least_bytes(MIN_CHARS)
        self._is_plain = redact is None and capture_content and limits.sample_rate >= 1

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
        if options:
            check_parameters(options)
        return rescued(
            self._captured, self._rescued, completion_args, operation_type, provider, response, latency_ms, options
        )

    def _captured(
        self,
        completion_args: Any,
        operation_type: Any,
        provider: Any,
        response: Any,
        latency_ms: Any,
        options: Mapping[str, Any],
    ) -> Captured:
        odd: dict[str, Any] = {}
        context = current()
        fields = fields_of(context, options, odd) if options or context is not EMPTY else {}
        if type(operation_type) is not str:
            operation_type = text_of("operation_type", operation_type, odd) or "completion"
        if provider is not None and type(provider) is not str:
            provider = text_of("provider", provider, odd)
        if latency_ms is not None and not (type(latency_ms) in _NUMBERS and 0 <= latency_ms < _MAX_QUANTITY):
            latency_ms = quantity_of("latency_ms", latency_ms, odd)
        operation = Operation(
            id=new_id(),
            timestamp=fields.pop("timestamp", None) or utc_now(),
            v=FIRST_VERSION,
            project=fields.pop("project", self._project),
            operation_type=operation_type,
            provider=provider,
            latency_ms=latency_ms,
            completion_args=without_secrets(completion_args),
            response=msgspec.UNSET if response is None else response,
            odd=odd,
            **fields,
        )
        if self._is_plain:
            line = _encode(operation)
            if line is not None and (len(line) < self._small or self._is_within(line)):
                return Captured(operation.id, line, bool(odd))
        return self._finished(operation)

    def _is_within(self, line: bytes) -> bool:
        """Return whether there is nothing to cut and no media to replace."""
        limits = self._limits
        is_short = limits.max_bytes is None or len(line) <= limits.max_bytes
        return is_short and (limits.media or not may_hold_media(line))

    def _rescued(self, error: Exception, *call: Any) -> Captured:
        """Keep what can be kept of a call of which some value has raised when it was looked at."""
        completion_args, operation_type, provider, response, latency_ms, options = call
        odd: dict[str, Any] = {"capture": f"some value cannot be read: {type(error).__name__}"}
        fields = rescued_fields(current(), options, odd)
        operation = Operation(
            id=new_id(),
            timestamp=fields.pop("timestamp", None) or utc_now(),
            v=FIRST_VERSION,
            project=fields.pop("project", self._project),
            operation_type=attempt(text_of, "operation_type", operation_type, odd).value or "completion",
            provider=attempt(text_of, "provider", provider, odd).value,
            latency_ms=attempt(quantity_of, "latency_ms", latency_ms, odd).value if latency_ms is not None else None,
            completion_args=_salvaged(completion_args),
            response=msgspec.UNSET if response is None else _salvaged(response),
            odd=odd,
            **fields,
        )
        return self._finished(operation)

    def _finished(self, operation: Operation) -> Captured:
        """Take the slow road: a hook to run, content to leave out or to cut, or a value that does not encode."""
        limits = self._limits
        is_sampled_out = operation.error is None and limits.is_sampled_out(operation.trace_id or operation.id)
        is_kept = self._capture_content and not is_sampled_out
        has_media = self._capture_content and not limits.media
        if self._redact is not None:
            # The hook sees whole texts, and no media that nobody keeps.
            operation = self._redacted(_without_media(operation) if has_media else operation, self._redact)
        line = _encode(operation)
        if has_media and (line is None or may_hold_media(line)):
            operation = _without_media(operation)
            line = _encode(operation)
        if line is None:
            operation = _made_plain(operation)
            line = _encoder.encode(operation)
        bare = None
        if not is_kept:
            bare = self._numbers_only(line, SAMPLED_OUT if self._capture_content else None)
        if bare is not None:
            line = bare
        elif limits.max_bytes is not None and len(line) > limits.max_bytes:
            line = self._cut(line, limits.max_bytes)
        return Captured(operation.id, line, bool(operation.odd))

    def _redacted(self, operation: Operation, redact: Callable[[Content], Content]) -> Operation:
        """Run the user's hook over a plain copy; its failure drops the content and never leaks it."""
        odd = dict(operation.odd)
        plain: Content = {}
        for name in _CONTENT:
            plain[name], changes = to_plain(_given(operation, name))
            _mark(odd, name, changes.kinds)
        error = operation.error
        plain["error"] = error and msgspec.to_builtins(error)
        outcome = attempt(lambda: _content_changes(redact(plain)))
        if outcome.value is not None:
            return msgspec.structs.replace(operation, **outcome.value, odd=odd)
        # Not what the error says: that may be the content.
        log_window.warn("redact", f"the redact hook failed, content is dropped: {type(outcome.error).__name__}")
        return msgspec.structs.replace(
            operation,
            **dict.fromkeys(_CONTENT, msgspec.UNSET),
            error=error and ErrorInfo(type=error.type),
            odd={**operation.odd, "redact": "content dropped: the redact hook failed"},
        )

    def _numbers_only(self, line: bytes, state: str | None) -> bytes | None:
        """Take everything away that a person said or a model wrote, after reading the numbers out of it.

        None where that must not be: of a stream without usage only the texts tell what it used, and they are sampled
        for their size and not for anybody's privacy.
        """
        operation = _decoder.decode(line)
        error, derived = operation.error, attempt(self._derive, operation).value
        if state is not None and operation.stream_state is not None and (derived is None or derived.usage == NO_USAGE):
            return None
        bare = msgspec.structs.replace(
            operation,
            completion_args=msgspec.UNSET,
            response=msgspec.UNSET,
            extras=operation.extras if state is None else with_state(operation.extras, state),
            error=error and ErrorInfo(type=error.type),
            derived=derived,
        )
        return _encoder.encode(bare)

    def _cut(self, line: bytes, max_bytes: int) -> bytes:
        """Cut request and response to a size each, after reading the numbers out of them; mark what was cut."""
        operation = _decoder.decode(line)
        given = {name: bytes(value) for name in _PAYLOADS if (value := _given(operation, name)) is not None}
        shorter = {name: msgspec.Raw(cut(value, max_bytes)) for name, value in given.items() if len(value) > max_bytes}
        if not shorter:
            return line
        state = with_state(operation.extras, CUT)
        derived = attempt(self._derive, operation).value
        return _encoder.encode(msgspec.structs.replace(operation, **shorter, extras=state, derived=derived))


def _without_media(operation: Operation) -> Operation:
    """Replace media in every payload; the same operation where there are none."""
    changes = {}
    for name in _CONTENT:
        value = getattr(operation, name)
        clean = attempt_briefly(without_media, value).value
        if clean is not None and clean is not value:
            changes[name] = clean
    return msgspec.structs.replace(operation, **changes) if changes else operation


def _encode(operation: Operation) -> bytes | None:
    """Encode in one pass; None when a value needs the slow road."""
    try:
        line = _encoder.encode(operation)
    except _UNENCODABLE:
        return None
    # A line end can only come from JSON that somebody else has written.
    if _LINE_END in line or holds_nan(operation.completion_args, operation.response, operation.extras):
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
        escaped = escaped or (changes.has_surrogates and name != "extras")
        _mark(odd, name, changes.kinds)
    extras = content.pop("extras")
    content = {name: encodable(value, escape if escaped else str) for name, value in content.items()}
    content["extras"] = msgspec.UNSET if extras is None else encodable(extras, printable)
    if operation.response is msgspec.UNSET:
        content["response"] = msgspec.UNSET
    header = {name: printable(value) for name, value in _header_texts(operation).items() if _has_surrogates(value)}
    odd |= dict.fromkeys(header, "lone surrogates by name")
    header_lists = {
        "labels": {printable(key): printable(value) for key, value in operation.labels.items()},
        "tags": tuple(map(printable, operation.tags)),
        "odd": encodable(odd, printable),
    }
    error = operation.error and error_of(
        {"type": operation.error.type, "message": operation.error.message, "stack": operation.error.stack}
    )
    return msgspec.structs.replace(operation, **header, **header_lists, **content, error=error, escaped=escaped)


def _salvaged(value: Any) -> Any:
    return without_secrets(to_plain(value)[0])


def _mark(odd: dict[str, Any], name: str, kinds: set[str]) -> None:
    """Note what was changed in one value, beside what was noted before."""
    before = {odd[name]} if name in odd else set()
    if kinds:
        odd[name] = ", ".join(sorted(before | kinds))


def _header_texts(operation: Operation) -> dict[str, str]:
    values = {name: getattr(operation, name) for name in operation.__struct_fields__ if name not in _CONTENT}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _has_surrogates(text: str) -> bool:
    return text != printable(text)


def _given(operation: Operation, name: str) -> Any:
    value = getattr(operation, name)
    return None if value is msgspec.UNSET else value


def _content_changes(answer: Any) -> dict[str, Any]:
    changes = {name: msgspec.UNSET if answer.get(name) is None else answer[name] for name in _CONTENT}
    return {**changes, "error": error_of(answer.get("error"))}
