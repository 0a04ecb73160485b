"""This package is where the observer's door is: sessions with labels, ``@observe``, instrumented SDKs, the export."""

from aicore_obs.observer.door import Observer as Observer
from aicore_obs.observer.door import observer as observer
from aicore_obs.observer.exporters import CallableExporter as CallableExporter
from aicore_obs.observer.exporters import CompositeExporter as CompositeExporter
from aicore_obs.observer.exporters import Exporter as Exporter
from aicore_obs.observer.exporters import FileExporter as FileExporter
from aicore_obs.observer.traced import observe as observe

__all__ = ["CallableExporter", "CompositeExporter", "Exporter", "FileExporter", "Observer", "observe", "observer"]
