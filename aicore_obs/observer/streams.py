"""This module is where streams are looked on while others read them: nothing is read early, nothing is held back.

The SDK's object stays what it is. Of its kind of HTTP response the methods that give bytes and close are covered, for
the responses that are marked; of an SDK's stream, the iterator that it keeps to itself. The methods of the class, and
not of the one object: one that holds its own cover goes only with the garbage, and its connection with it.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextvars import ContextVar
from typing import Any

import wrapt

from aicore_obs.observer.watch import COMPLETE, Bytes, Parts, Watch, state_of
from aicore_obs.protocols import Carrier

# True inside of a call that is watched: what it calls in turn is part of it.
inside: ContextVar[bool] = ContextVar("aicore_obs_inside_call", default=False)
# The mark of a response that is watched, among its own attributes.
_KEPT = "_aicore_obs_kept"
# (class, method) → the original, and what stands in its place.
_covered: dict[tuple[type, str], tuple[Any, Any]] = {}


def cover_generator(parts: Generator[Any, Any, Any], watch: Watch) -> Generator[Any, Any, Any]:
    """Return a generator of the same parts."""
    return _cover(parts, Parts(watch))


def _cover(parts: Generator[Any, Any, Any], kept: Parts) -> Generator[Any, Any, Any]:
    # Only now: a generator that nobody reads has asked for nothing.
    kept.begin()
    try:
        while True:
            token = inside.set(True)
            try:
                part = next(parts)
            except StopIteration as stop:
                kept.end(COMPLETE)
                return stop.value
            finally:
                inside.reset(token)
            kept.add(part)
            yield part
    except BaseException as error:
        kept.end(state_of(error), None if isinstance(error, GeneratorExit) else error)
        raise
    finally:
        parts.close()


def cover_async_generator(parts: AsyncGenerator[Any, Any], watch: Watch) -> AsyncGenerator[Any, Any]:
    """Do as :func:`cover_generator` for an async one."""
    kept = Parts(watch)

    async def cover() -> AsyncGenerator[Any, Any]:
        # Only now: a generator that nobody reads has asked for nothing.
        kept.begin()
        try:
            while True:
                token = inside.set(True)
                try:
                    part = await anext(parts)
                except StopAsyncIteration:
                    kept.end(COMPLETE)
                    return
                finally:
                    inside.reset(token)
                kept.add(part)
                yield part
        except BaseException as error:
            kept.end(state_of(error), None if isinstance(error, GeneratorExit) else error)
            raise
        finally:
            await parts.aclose()

    return cover()


def cover_carrier(result: Any, carrier: Carrier, watch: Watch) -> None:
    """Look on while the response that carries the answer, and the SDK's own iterator over it, are read."""
    if carrier.http is None:
        _cover_holder(carrier.holder, str(carrier.items), carrier, watch)
        return
    content_type = str(carrier.http.headers.get("content-type", ""))
    kept = Bytes(watch, content_type, has_items=carrier.items is not None)
    is_async = watch.hook.is_async
    _cover_class(type(carrier.http))
    vars(carrier.http)[_KEPT] = kept
    weakref.finalize(carrier.http, kept.give_up).atexit = False
    if carrier.items is not None:
        iterator = getattr(result, carrier.items)
        setattr(result, carrier.items, (_async_items if is_async else _items)(iterator, kept, watch))


def _cover_holder(holder: Any, items: str, carrier: Carrier, watch: Watch) -> None:
    """Look on at the parts that an object hands out of an iterator of its own; the request was made already."""
    parts = Parts(watch, carrier.decode)
    parts.begin()
    weakref.finalize(holder, parts.give_up).atexit = False
    setattr(holder, items, _cover(getattr(holder, items), parts))


def _cover_class(kind: type) -> None:
    """Look on at the methods of a kind of HTTP response; one that nobody watches is only passed on."""
    for name, wrapper in _METHODS.items():
        owner = next((one for one in kind.__mro__ if name in vars(one)), None)
        if owner is not None and (owner, name) not in _covered:
            original = vars(owner)[name]
            covered = wrapt.FunctionWrapper(original, wrapper)
            _covered[owner, name] = (original, covered)
            setattr(owner, name, covered)


def uncover_classes() -> None:
    """Give the kinds of responses their own methods back."""
    for (owner, name), (original, covered) in list(_covered.items()):
        if vars(owner).get(name) is covered:
            setattr(owner, name, original)
    _covered.clear()


def _kept(http: Any) -> Bytes | None:
    kept = vars(http).get(_KEPT)
    return kept if isinstance(kept, Bytes) else None


def _iter_bytes(wrapped: Any, http: Any, args: Any, kwargs: Any) -> Any:
    kept = _kept(http)
    chunks = wrapped(*args, **kwargs)
    return chunks if kept is None else _bytes(chunks, kept, kept.watch)


def _aiter_bytes(wrapped: Any, http: Any, args: Any, kwargs: Any) -> Any:
    kept = _kept(http)
    chunks = wrapped(*args, **kwargs)
    return chunks if kept is None else _async_bytes(chunks, kept, kept.watch)


def _close(wrapped: Any, http: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    finally:
        kept = _kept(http)
        if kept is not None and not kept.watch.is_advancing:
            kept.closed()


def _aclose(wrapped: Any, http: Any, args: Any, kwargs: Any) -> Any:
    kept = _kept(http)
    closing = wrapped(*args, **kwargs)
    return closing if kept is None else _closing(closing, kept)


async def _closing(closing: Any, kept: Bytes) -> Any:
    try:
        return await closing
    finally:
        if not kept.watch.is_advancing:
            kept.closed()


_METHODS = {"iter_bytes": _iter_bytes, "aiter_bytes": _aiter_bytes, "close": _close, "aclose": _aclose}


def _bytes(chunks: Iterator[bytes], kept: Bytes, watch: Watch) -> Iterator[bytes]:
    """Give the bytes of a response. Where the SDK iterates over them itself, it says how they end."""
    was_advancing = watch.is_advancing
    try:
        while True:
            before, watch.is_advancing = watch.is_advancing, True
            try:
                chunk = next(chunks)
            finally:
                watch.is_advancing = before
            kept.add(chunk)
            yield chunk
    except StopIteration:
        if not was_advancing:
            kept.end(COMPLETE)
    except BaseException as error:
        if not was_advancing and not isinstance(error, GeneratorExit):
            kept.end(state_of(error), error)
        raise
    finally:
        chunks.close()  # type: ignore[attr-defined]


async def _async_bytes(chunks: AsyncIterator[bytes], kept: Bytes, watch: Watch) -> AsyncIterator[bytes]:
    was_advancing = watch.is_advancing
    try:
        while True:
            before, watch.is_advancing = watch.is_advancing, True
            try:
                chunk = await anext(chunks)
            finally:
                watch.is_advancing = before
            kept.add(chunk)
            yield chunk
    except StopAsyncIteration:
        if not was_advancing:
            kept.end(COMPLETE)
    except BaseException as error:
        if not was_advancing and not isinstance(error, GeneratorExit):
            kept.end(state_of(error), error)
        raise
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]


def _items(items: Iterator[Any], kept: Bytes, watch: Watch) -> Iterator[Any]:
    """Give the SDK's items; how its iteration ends is how the stream ended for the one who reads it."""
    try:
        while True:
            watch.is_advancing = True
            try:
                item = next(items)
            finally:
                watch.is_advancing = False
            yield item
    except StopIteration:
        kept.end(COMPLETE)
    except BaseException as error:
        kept.end(state_of(error), None if isinstance(error, GeneratorExit) else error)
        raise


async def _async_items(items: AsyncIterator[Any], kept: Bytes, watch: Watch) -> AsyncIterator[Any]:
    try:
        while True:
            watch.is_advancing = True
            try:
                item = await anext(items)
            finally:
                watch.is_advancing = False
            yield item
    except StopAsyncIteration:
        kept.end(COMPLETE)
    except BaseException as error:
        kept.end(state_of(error), None if isinstance(error, GeneratorExit) else error)
        raise
