"""This package is where operations of language models are kept for good.

Names are loaded when they are first used, so that ``import aicore_obs`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aicore_obs import reports as reports
    from aicore_obs.archiving import archive as archive
    from aicore_obs.archiving import scan as scan
    from aicore_obs.collector import LlmOperationCollector as LlmOperationCollector
    from aicore_obs.context import bind as bind
    from aicore_obs.context import suppress as suppress
    from aicore_obs.costing import cost_of as cost_of
    from aicore_obs.default import configure as configure
    from aicore_obs.default import get_collector as get_collector
    from aicore_obs.errors import AicoreObsError as AicoreObsError
    from aicore_obs.errors import ConfigurationError as ConfigurationError
    from aicore_obs.errors import FilterError as FilterError
    from aicore_obs.errors import JournalFull as JournalFull
    from aicore_obs.errors import StoreError as StoreError
    from aicore_obs.exchange import copy_store as copy_store
    from aicore_obs.exchange import export_operations as export_operations
    from aicore_obs.exchange import import_records as import_records
    from aicore_obs.model.budget import Budget as Budget
    from aicore_obs.observer.patching import instrument as instrument
    from aicore_obs.observer.patching import instrument_opentelemetry as instrument_opentelemetry
    from aicore_obs.observer.patching import register_provider as register_provider
    from aicore_obs.observer.patching import uninstrument as uninstrument
    from aicore_obs.pipeline.stats import FlushResult as FlushResult
    from aicore_obs.pipeline.stats import Stats as Stats
    from aicore_obs.pricing.book import PriceBook as PriceBook
    from aicore_obs.protocols import DropRecord as DropRecord
    from aicore_obs.pruning import prune as prune
    from aicore_obs.reconciliation import read_statement as read_statement
    from aicore_obs.reconciliation import reconcile as reconcile
    from aicore_obs.recosting import recost as recost
    from aicore_obs.showing import show as show
    from aicore_obs.showing import show_conversation as show_conversation
    from aicore_obs.showing import show_operation as show_operation
    from aicore_obs.showing import show_trace as show_trace
    from aicore_obs.web.middleware import LlmOperationMiddleware as LlmOperationMiddleware

__version__ = "0.1.0"

_HOMES = {
    "AicoreObsError": "errors",
    "Budget": "model.budget",
    "ConfigurationError": "errors",
    "DropRecord": "protocols",
    "FilterError": "errors",
    "FlushResult": "pipeline.stats",
    "JournalFull": "errors",
    "LlmOperationCollector": "collector",
    "LlmOperationMiddleware": "web.middleware",
    "PriceBook": "pricing.book",
    "Stats": "pipeline.stats",
    "StoreError": "errors",
    "archive": "archiving",
    "bind": "context",
    "configure": "default",
    "copy_store": "exchange",
    "cost_of": "costing",
    "export_operations": "exchange",
    "get_collector": "default",
    "import_records": "exchange",
    "instrument": "observer.patching",
    "instrument_opentelemetry": "observer.patching",
    "prune": "pruning",
    "read_statement": "reconciliation",
    "reconcile": "reconciliation",
    "recost": "recosting",
    "show": "showing",
    "show_conversation": "showing",
    "show_operation": "showing",
    "show_trace": "showing",
    "register_provider": "observer.patching",
    "scan": "archiving",
    "suppress": "context",
    "uninstrument": "observer.patching",
}

__all__ = [
    "AicoreObsError",
    "Budget",
    "ConfigurationError",
    "DropRecord",
    "FilterError",
    "FlushResult",
    "JournalFull",
    "LlmOperationCollector",
    "LlmOperationMiddleware",
    "PriceBook",
    "Stats",
    "StoreError",
    "archive",
    "bind",
    "configure",
    "copy_store",
    "cost_of",
    "export_operations",
    "get_collector",
    "import_records",
    "instrument",
    "instrument_opentelemetry",
    "prune",
    "read_statement",
    "reconcile",
    "recost",
    "register_provider",
    "reports",
    "scan",
    "show",
    "show_conversation",
    "show_operation",
    "show_trace",
    "suppress",
    "uninstrument",
]


# Modules that users call by their name.
_MODULES = frozenset({"reports"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"aicore_obs.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'aicore_obs' has no attribute {name!r}")
    return getattr(importlib.import_module(f"aicore_obs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
