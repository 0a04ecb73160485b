"""This package is where the observer's door is: sessions with labels, ``@observe``, instrumented SDKs, the export."""

from aicore_obs.observer.door import Observer as Observer
from aicore_obs.observer.door import observer as observer
from aicore_obs.observer.exporters import CallableExporter as CallableExporter
from aicore_obs.observer.exporters import CompositeExporter as CompositeExporter
from aicore_obs.observer.exporters import Exporter as Exporter
from aicore_obs.observer.exporters import FileExporter as FileExporter
from aicore_obs.observer.traced import observe as observe
from aicore_obs.protocols import Asked as Asked
from aicore_obs.protocols import Carrier as Carrier
from aicore_obs.protocols import Hook as Hook

__all__ = [
    "Asked",
    "CallableExporter",
    "Carrier",
    "CompositeExporter",
    "Exporter",
    "FileExporter",
    "Hook",
    "Observer",
    "observe",
    "observer",
]
