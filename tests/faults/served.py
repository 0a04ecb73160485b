"""This module is where an ASGI application is kept that records one call for each request and answers its id.

The collector is made when the module is imported, and has recorded and delivered by then: under ``--preload`` that is
in the server's parent process, before any worker is forked. Its arguments are in ``DRILL_ARGUMENTS``, as JSON.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aicore_obs import LlmOperationCollector

collector = LlmOperationCollector(**json.loads(os.environ["DRILL_ARGUMENTS"]))
before = collector.record_completion({"model": "before the fork"})
assert collector.flush(80)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the process and the id of a new record."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    record_id = await collector.arecord_completion({"model": "m", "path": scope["path"]}, response={"text": "because"})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": f"{os.getpid()} {record_id} {before}".encode()})
