"""This module is where a Celery application is kept whose tasks record one call each; ``python -m`` queues them.

The queue is a folder, ``DRILL_FOLDER``; the collector's arguments are in ``DRILL_ARGUMENTS``, as JSON. Ids are appended
to ``ids`` in the folder, by one write each.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from celery import Celery

from aicore_obs import LlmOperationCollector

folder = Path(os.environ["DRILL_FOLDER"])
for name in ("queue", "control"):
    (folder / name).mkdir(parents=True, exist_ok=True)
app = Celery("tests.faults.queued", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.05,
    },
    worker_prefetch_multiplier=1,
)
# In the parent of all workers, before it forks.
collector = LlmOperationCollector(**json.loads(os.environ["DRILL_ARGUMENTS"]))


@app.task
def call(number: int) -> None:
    """Record one call."""
    record_id = collector.record_completion({"model": "m", "number": number}, response={"text": "because"})
    fd = os.open(folder / "ids", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{os.getpid()} {record_id}\n".encode())
    os.close(fd)


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        app.send_task("tests.faults.queued.call", (number,))
