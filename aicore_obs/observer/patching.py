"""This module is where SDKs are patched and given back: once, reversibly, and never to the harm of the program.

It knows no SDK: where to hook and how to read a call is told by the providers' descriptions. An SDK that is imported
later is patched then. A hook that does not fit the SDK that is there is left out, with one warning.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import wrapt

from aicore_obs import context, plugins
from aicore_obs.default import get_collector
from aicore_obs.descriptions import canonical, described, register, registry
from aicore_obs.errors import ConfigurationError, MissingExtraError
from aicore_obs.guard import attempt, log_window
from aicore_obs.observer import sessions
from aicore_obs.observer.streams import cover_async_generator, cover_carrier, cover_generator, inside, uncover_classes
from aicore_obs.observer.watch import Watch, read_body
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.protocols import Hook, Provider
from aicore_obs.settings import from_environment

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


# Knows OpenTelemetry's SDK, and is loaded by those who have it.
_SPANS = "aicore_obs.observer.otel"
_LITELLM = "aicore_obs.observer.litellm"
# The module of a framework that tells others of its calls → what listens to it here, which needs the framework.
_LISTENERS = {
    "langchain_core.tracers.context": "aicore_obs.observer.langchain",
    "litellm": _LITELLM,
}


class _Patch(msgspec.Struct, frozen=True):
    """One function that was replaced."""

    owner: Any
    name: str
    original: Any
    wrapper: Any


class _State:
    """What is patched in this process, and for whom."""

    def __init__(self) -> None:
        self.lock = ForkLock()
        self.patches: dict[tuple[str, str], _Patch] = {}
        # Modules whose import is waited for; wrapt has no way to stop that.
        self.awaited: set[str] = set()
        self.is_on = False
        # Calls outside of sessions are recorded too.
        self.is_always = False
        # Whose calls are recorded; None: everybody's.
        self.chosen: frozenset[str] | None = None

    def wants(self, provider: str) -> bool:
        """Return whether the calls of a provider's SDK, or of a framework, are asked for."""
        return self.chosen is None or provider in self.chosen


_state = _State()


def instrument(providers: Iterable[str] | None = None) -> list[str]:
    """Record every call of the installed SDKs into the default collector; return the SDKs' names.

    SDKs that are imported later are included. Harmless twice. :func:`uninstrument` takes it back. Does nothing where
    ``AICORE_OBS_ENABLED=0``.

    Args:
        providers: record no others than these, such as ``["openai", "langchain"]``, until it is asked for again.

    Raises:
        ConfigurationError: there can be no default collector, or none of the SDKs that are known is a provider's.
    """
    chosen = None if providers is None else _chosen(providers)
    if not from_environment().enabled:
        return []
    # Made now: what cannot work is said here, and no call waits for it.
    get_collector()
    _state.is_always = True
    _state.chosen = chosen
    _switch_on()
    packages = {hook.package for name, hook in _hooks() if _state.wants(name)}
    packages |= {name for name in map(_package, _LISTENERS) if _state.wants(canonical(name))}
    return sorted(package for package in packages if attempt(find_spec, package).value is not None)


def _chosen(providers: Iterable[str]) -> frozenset[str]:
    """Return the providers' own names.

    Raises:
        ConfigurationError: one has no SDK that is known.
    """
    known = {name for name, _ in _hooks()} | {canonical(_package(framework)) for framework in _LISTENERS}
    given = [providers] if isinstance(providers, str) else list(providers)
    for name in given:
        if not isinstance(name, str) or canonical(name) not in known:
            raise ConfigurationError(f"providers={given!r}: {name!r} is none of {', '.join(sorted(known))}")
    return frozenset(map(canonical, given))


def instrument_opentelemetry(tracer_provider: TracerProvider | None = None) -> None:
    """Record the finished spans of a tracer provider, by default the global one, that are calls of models.

    Spans of OpenTelemetry's GenAI conventions, of OpenLLMetry and of OpenInference are read, and all others passed
    over. A call that an instrumented SDK has recorded is not recorded again. Harmless twice; :func:`uninstrument` takes
    it back. Does nothing where ``AICORE_OBS_ENABLED=0``.

    Raises:
        MissingExtraError: opentelemetry-sdk is not installed; the message is the command.
        ConfigurationError: the provider makes no spans, or there can be no default collector.
    """
    if from_environment().enabled:
        _owner_of_spans().listen(tracer_provider)


def _owner_of_spans() -> Any:
    try:
        return plugins.load(_SPANS)
    except ImportError as error:
        raise MissingExtraError("spans need OpenTelemetry's SDK: pip install 'aicore-obs[otel]'") from error


def uninstrument() -> None:
    """Give every SDK its own functions back, and listen to nobody."""
    if _SPANS in sys.modules:
        _owner_of_spans().rest()
    if _LITELLM in sys.modules:
        attempt(plugins.load(_LITELLM).rest)
    with _state.lock.here:
        _state.is_on = _state.is_always = False
        _state.chosen = None
        for patch in _state.patches.values():
            # Where somebody else has put a wrapper over ours, ours stays, and only passes on.
            if vars(patch.owner).get(patch.name) is patch.wrapper:
                setattr(patch.owner, patch.name, patch.original)
        _state.patches.clear()
        uncover_classes()


def register_provider(provider: object) -> None:
    """Record the calls of an SDK of your own, described as in ``docs/providers.md``, from now on and in this process.

    ``provider`` has a ``name``, and ``hooks`` that say which functions its calls pass; ``hosts`` and readers where it
    has some of its own. Registering a name again replaces it. Whoever delivers the records reads them: with
    ``writer="external"`` the readers belong into an entry point.

    Raises:
        ConfigurationError: the name is taken by a provider that comes with the package, or a duty is missing.
    """
    name = getattr(provider, "name", None)
    before = described(name) if isinstance(name, str) else None
    registered = register(provider)
    if before is not None:
        _unpatch(before)
    if registered.hooks and _state.is_on:
        _switch_on()


def _unpatch(provider: Provider) -> None:
    with _state.lock.here:
        for hook in getattr(provider, "hooks", ()):
            patch = _state.patches.pop((hook.module, hook.function), None)
            if patch is not None and vars(patch.owner).get(patch.name) is patch.wrapper:
                setattr(patch.owner, patch.name, patch.original)


def instrument_for_sessions() -> None:
    """Record the calls that are made inside of sessions."""
    if not _state.is_on:
        _switch_on()


def _switch_on() -> None:
    _state.is_on = True
    for provider, hook in _hooks():
        module = sys.modules.get(hook.module)
        if not _state.wants(provider):
            continue
        if module is not None:
            _patch(provider, hook, module)
        elif hook.module not in _state.awaited:
            _state.awaited.add(hook.module)
            wrapt.register_post_import_hook(_on_import, hook.module)
    for framework in _LISTENERS:
        if framework in sys.modules:
            _listen(framework)
        elif framework not in _state.awaited:
            _state.awaited.add(framework)
            wrapt.register_post_import_hook(lambda module: _listen(module.__name__), framework)


def _listen(framework: str) -> None:
    """Have a framework tell of its calls, as long as they are wanted."""
    if not _state.is_on:
        return
    package = _package(framework)
    provider = canonical(package)
    outcome = attempt(lambda: plugins.load(_LISTENERS[framework]).listen(lambda: _is_recording(provider)))
    if outcome.error is not None:
        log_window.warn(f"listen {package}", f"{package} is not what was tested, and not recorded: {outcome.error!r}")


def _package(framework: str) -> str:
    return framework.partition(".")[0]


def _is_recording(provider: str) -> bool:
    """Return whether what begins here is to be recorded."""
    return _state.is_on and _state.wants(provider) and (_state.is_always or sessions.current() is not None)


def _hooks() -> list[tuple[str, Hook]]:
    found = {id(one): one for one in registry().names.values()}
    return [(one.name, hook) for one in found.values() for hook in getattr(one, "hooks", ())]


def _on_import(module: ModuleType) -> None:
    """Patch a module that was just imported; what goes wrong must not be the importer's."""
    if _state.is_on:
        for provider, hook in _hooks():
            if hook.module == module.__name__ and _state.wants(provider):
                _patch(provider, hook, module)


def _patch(provider: str, hook: Hook, module: ModuleType) -> None:
    outcome = attempt(_patched, provider, hook, module)
    if outcome.error is not None:
        found = attempt(version, hook.package.replace(".", "-")).value
        log_window.warn(
            f"patch {hook.package}",
            f"{hook.package} {found or '(version unknown)'} is not what was tested ({hook.tested}): {outcome.error}; "
            f"calls through {hook.function} are not recorded",
        )


def _patched(provider: str, hook: Hook, module: ModuleType) -> None:
    """Put the wrapper in its place.

    Raises:
        LookupError: the function is not there, or has other parameters.
    """
    class_name, _, name = hook.function.rpartition(".")
    owner = getattr(module, class_name) if class_name else module
    with _state.lock.here:
        present = _state.patches.get((hook.module, hook.function))
        original = vars(owner).get(name)
        if present is not None and original is present.wrapper:
            return
        if original is None:
            raise LookupError(f"{hook.module} has no {hook.function}")
        missing = set(hook.parameters) - set(inspect.signature(original).parameters)
        if missing:
            raise LookupError(f"{hook.function} has no parameter {', '.join(sorted(missing))}")
        wrapper = wrapt.FunctionWrapper(original, (_async_wrapper if hook.is_async else _wrapper)(provider, hook))
        setattr(owner, name, wrapper)
        _state.patches[hook.module, hook.function] = _Patch(owner, name, original, wrapper)


def _wrapper(provider: str, hook: Hook) -> Callable[..., Any]:
    def call(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        watch = _begun(provider, hook, instance, args, kwargs)
        if watch is None:
            return wrapped(*args, **kwargs)
        token = inside.set(True)
        try:
            results = [wrapped(*args, **kwargs)]
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            inside.reset(token)
        # Not held by this frame any more: whoever drops a stream wants it gone, also where the frame is kept.
        return _answered(watch, results.pop())

    return call


def _async_wrapper(provider: str, hook: Hook) -> Callable[..., Any]:
    async def awaited(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        watch = _begun(provider, hook, instance, args, kwargs)
        if watch is None:
            return await wrapped(*args, **kwargs)
        token = inside.set(True)
        try:
            results = [await wrapped(*args, **kwargs)]
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            # Where a call is closed by the garbage collector, that context has never set it.
            attempt(inside.reset, token)
        # Not held by this frame any more: whoever drops a stream wants it gone, also where the frame is kept.
        return _answered(watch, results.pop())

    def call(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return awaited(wrapped, instance, args, kwargs)

    return call


def _begun(provider: str, hook: Hook, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch | None:
    """Return a call to follow, None where it is not to be recorded or cannot be."""
    if not _is_recording(provider) or inside.get() or context.is_suppressed():
        return None

    def begun() -> Watch | None:
        asked = hook.read_call(instance, args, kwargs)
        return None if asked is None else Watch(hook, provider, asked)

    outcome = attempt(begun)
    if outcome.error is not None:
        log_window.warn(f"call {hook.package}", f"a call of {hook.package} is not recorded: {outcome.error!r}")
    return outcome.value


def _answered(watch: Watch, result: Any) -> Any:
    """Record what came back, or see to it that it is recorded when it has come; return what the caller gets."""
    outcome = attempt(_seen, watch, result)
    if outcome.error is not None:
        log_window.warn(f"answer {watch.hook.package}", f"an answer is not recorded: {outcome.error!r}")
        return result
    return outcome.value


def _seen(watch: Watch, result: Any) -> Any:
    if inspect.isgenerator(result):
        return cover_generator(result, watch)
    if inspect.isasyncgen(result):
        return cover_async_generator(result, watch)
    carrier = watch.hook.carrier(result)
    if carrier is None:
        watch.answered(result)
    elif carrier.is_read:
        watch.answered(read_body(carrier.http))
    else:
        cover_carrier(result, carrier, watch)
    return result
