"""This module is where ``@observe`` wraps functions: sync, async, generators, async generators, static, class methods.

A wrapper is of the same kind as what it wraps, and with no session open it does nothing but call it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, ParamSpec, TypeVar, overload

from aicore_obs.callsite import defined_at
from aicore_obs.guard import attempt
from aicore_obs.observer.sessions import OPEN
from aicore_obs.observer.steps import UNFOLLOWED, FollowedStep, Observed, begun

P = ParamSpec("P")
T = TypeVar("T")


@overload
def observe(fn: Callable[P, T]) -> Callable[P, T]: ...


@overload
def observe(
    fn: None = None,
    *,
    name: str | None = None,
    capture_args: bool = True,
    capture_result: bool = True,
    enh_prompt: bool = False,
    auto_enhance_after: int | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def observe(
    fn: Any = None,
    *,
    name: str | None = None,
    capture_args: bool = True,
    capture_result: bool = True,
    enh_prompt: bool = False,
    auto_enhance_after: int | None = None,
) -> Any:
    """Record every call of a function inside a session, with arguments, result, error and time.

    Goes below ``@staticmethod``, ``@classmethod`` and ``@property``, or above the first two. ``enh_prompt`` gives each
    call an id of its own; after every ``auto_enhance_after`` calls the function that
    ``observer.register_enhancer`` was given gets their traces.

    Raises:
        TypeError: what is decorated cannot be called.
        ValueError: ``auto_enhance_after`` is no positive number, or stands without ``enh_prompt``.
    """
    is_count = isinstance(auto_enhance_after, int) and not isinstance(auto_enhance_after, bool)
    if auto_enhance_after is not None and not (is_count and auto_enhance_after > 0 and enh_prompt):
        raise ValueError(f"auto_enhance_after={auto_enhance_after!r}: a positive number, with enh_prompt=True")

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorate(function.__func__))
        if not callable(function):
            raise TypeError(f"@observe cannot wrap {function!r}: it cannot be called")
        parameters = _parameters(function)
        observed = Observed(
            name=name or str(getattr(function, "__name__", type(function).__name__)),
            module=getattr(function, "__module__", None) or "",
            qualified_name=f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}",
            defined_at=defined_at(inspect.unwrap(function)),
            parameters=parameters,
            is_method=bool(parameters) and parameters[0] in ("self", "cls") and _stands_in_class(function),
            capture_args=capture_args,
            capture_result=capture_result,
            enh_prompt=enh_prompt,
            auto_enhance_after=auto_enhance_after,
        )
        return _wrapper(function)(function, observed)

    return decorate if fn is None else decorate(fn)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    signature = attempt(inspect.signature, function).value
    if signature is None:
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(one.name for one in signature.parameters.values() if one.kind in kinds)


def _stands_in_class(function: Callable[..., Any]) -> bool:
    scope = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(scope) and not scope.endswith("<locals>")


def _wrapper(function: Any) -> Callable[[Any, Observed], Any]:
    if inspect.isasyncgenfunction(function):
        return _async_generator
    if inspect.isgeneratorfunction(function):
        return _generator
    if inspect.iscoroutinefunction(function):
        return _coroutine
    return _plain


def _plain(function: Callable[P, T], observed: Observed) -> Callable[P, T]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        if not OPEN or (step := begun(observed, args, kwargs)) is None:
            return function(*args, **kwargs)
        step.enter()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            step.leave()
            step.fail(error)
            raise
        step.leave()
        step.end(result)
        return result

    return wrapper


def _coroutine(function: Callable[P, Any], observed: Observed) -> Callable[P, Any]:
    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        if not OPEN or (step := begun(observed, args, kwargs)) is None:
            return await function(*args, **kwargs)
        step.enter()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            step.leave()
            step.fail(error)
            raise
        step.leave()
        step.end(result)
        return result

    return wrapper


def _generator(function: Callable[P, Any], observed: Observed) -> Callable[P, Any]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
        if not OPEN or (step := begun(observed, args, kwargs)) is None:
            return (yield from function(*args, **kwargs))
        return (yield from _driven(function(*args, **kwargs), step))

    return wrapper


def _driven(generator: Generator[Any, Any, Any], step: FollowedStep) -> Generator[Any, Any, Any]:
    """Give what a generator gives, each of its parts made inside the step's context."""
    go_on: Callable[[Any], Any] = generator.send
    value: Any = None
    while True:
        step.enter()
        try:
            item = go_on(value)
        except StopIteration as stop:
            step.leave()
            step.end()
            return stop.value
        except BaseException as error:
            step.leave()
            step.fail(error)
            raise
        step.leave()
        step.add(item)
        try:
            value = yield item
        except BaseException as error:  # noqa: BLE001 - the generator itself decides what becomes of it
            go_on, value = generator.throw, error
        else:
            go_on = generator.send


def _async_generator(function: Callable[P, Any], observed: Observed) -> Callable[P, Any]:
    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        step = (begun(observed, args, kwargs) if OPEN else None) or UNFOLLOWED
        go_on, value = generator.asend, None
        while True:
            step.enter()
            try:
                item = await go_on(value)
            except StopAsyncIteration:
                step.leave()
                step.end()
                return
            except BaseException as error:
                step.leave()
                step.fail(error)
                raise
            step.leave()
            step.add(item)
            try:
                value = yield item
            except BaseException as error:  # noqa: BLE001 - the generator itself decides what becomes of it
                go_on, value = generator.athrow, error
            else:
                go_on = generator.asend

    return wrapper
