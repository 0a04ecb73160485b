"""This package is where operations are traced in the words of `oplog`: op, run, db, export; docs/oplog.md is the guide.

``from aicore_obs.oplog import configure, op, run, db, export, Tracer``
"""

from __future__ import annotations

from aicore_obs.oplog import export as export
from aicore_obs.oplog.default import aflush as aflush
from aicore_obs.oplog.default import close as close
from aicore_obs.oplog.default import configure as configure
from aicore_obs.oplog.default import db as db
from aicore_obs.oplog.default import flush as flush
from aicore_obs.oplog.default import op as op
from aicore_obs.oplog.default import run as run
from aicore_obs.oplog.record import Mark as Mark
from aicore_obs.oplog.record import Record as Record
from aicore_obs.oplog.record import Score as Score
from aicore_obs.oplog.runs import Run as Run
from aicore_obs.oplog.runs import carry as carry
from aicore_obs.oplog.tracer import Tracer as Tracer

__all__ = [
    "Mark",
    "Record",
    "Run",
    "Score",
    "Tracer",
    "aflush",
    "carry",
    "close",
    "configure",
    "db",
    "export",
    "flush",
    "op",
    "run",
]
