"""This module is where a program is shown answers and records each by hand as well, until it is killed.

``python -m tests.faults.joiner ARGUMENTS`` with the collector's arguments as JSON. An id is written to the standard
output, by one system call, after the answer's second version was accepted.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import Any

from aicore_obs import LlmOperationCollector
from tests.faults.recorder import request, said

THREADS = 4


def join_for_ever(collector: LlmOperationCollector, who: str) -> None:
    """See an answer as an instrumented SDK does, then say whose it was."""
    for number in itertools.count():
        asked = request(number, who)
        answer = {"id": f"{os.getpid()}-{who}-{number}", "text": "because"}
        seen = collector.watching.operation(asked, "chat", "openai", answer, 5.0, is_seen=True)
        joined = collector.record_completion(asked, "chat", "openai", answer, user_id=who)
        if seen is not None and joined is not None:
            assert seen.id == joined, (seen.id, joined)
            said(joined)


def main(arguments: dict[str, Any]) -> None:
    """Record until somebody kills this process."""
    collector = LlmOperationCollector(**arguments)
    names = [f"thread-{number}" for number in range(THREADS)]
    threads = [threading.Thread(target=join_for_ever, args=(collector, name), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
