"""This module is where a program records as fast as it can, from threads and an event loop, until it is killed.

``python -m tests.faults.recorder ARGUMENTS`` with the collector's arguments as JSON. Each id is written to the standard
output by one system call, after ``record_*`` has returned it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any

from aicore_obs import LlmOperationCollector

THREADS = 4


def said(record_id: str | None) -> None:
    """Tell the parent that a record was accepted."""
    if record_id is not None:
        os.write(1, f"{record_id}\n".encode())


def request(number: int, who: str) -> dict[str, Any]:
    """Return what a call might have asked."""
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": f"{who} asks {number} times: why [1] \\ ]?"}]}


def record_for_ever(collector: LlmOperationCollector, who: str) -> None:
    """Record without a pause."""
    number = 0
    while True:
        said(collector.record_completion(request(number, who), response={"text": "because"}, session_id=who))
        number += 1


async def arecord_for_ever(collector: LlmOperationCollector) -> None:
    """Record from a loop, without a pause but for other tasks."""
    number = 0
    while True:
        said(await collector.arecord_completion(request(number, "loop"), extras={"number": number}))
        number += 1
        await asyncio.sleep(0)


def main(arguments: dict[str, Any]) -> None:
    """Record until somebody kills this process."""
    collector = LlmOperationCollector(**arguments)
    for number in range(THREADS):
        threading.Thread(target=record_for_ever, args=(collector, f"thread-{number}"), daemon=True).start()
    asyncio.run(arecord_for_ever(collector))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
