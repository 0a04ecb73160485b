"""This module is where the demonstration's victim runs: it records until it is killed, and says each id afterwards.

``python -m aicore_obs.cli.demo_child DB_URL``
"""

from __future__ import annotations

import sys
from itertools import count

from aicore_obs import LlmOperationCollector


def main(db_url: str) -> None:
    """Record for ever; an id is written when ``record_completion`` has returned it, and not before."""
    collector = LlmOperationCollector(db_url=db_url, project="demo")
    for number in count():
        record_id = collector.record_completion(
            {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"call {number} of the child"}]},
            provider="openai",
            response={
                "model": "gpt-4o-mini",
                "choices": [{"message": {"role": "assistant", "content": "still here"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
            },
            latency_ms=250,
            session_id="child",
        )
        sys.stdout.write(f"{record_id}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
