"""This module is where a small retrieval program traces itself with oplog, flags what went well, and exports it.

Run it with ``python -m examples.oplog_program``; it leaves ``traces.db`` and ``training/`` in the working directory.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aicore_obs.oplog import close, configure, db, export, op, run

TEXTS = ["Paris is the capital of France.", "Oslo is the capital of Norway.", "Rome is the capital of Italy."]


async def retrieve(query: str) -> list[str]:
    """Find the two texts that share most words with the query."""
    await asyncio.sleep(0.001)
    words = set(query.rstrip("?").split())
    found = sorted(TEXTS, key=lambda text: len(words & set(text.rstrip(".").split())), reverse=True)[:2]
    op("retrieve").model("words").input(query=query).output(found=found).save()
    return found


async def generate(query: str, found: list[str]) -> dict[str, Any]:
    """Stand for the model of your choice."""
    messages = [{"role": "system", "content": "\n".join(found)}, {"role": "user", "content": query}]
    await asyncio.sleep(0.001)
    answer = {
        "model": "gpt-4o-mini",
        "choices": [{"message": {"role": "assistant", "content": found[0]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48},
    }
    op("chat").model("gpt-4o-mini").provider("openai").input(messages=messages).output(**answer).save()
    return answer


async def ask(number: int, query: str) -> None:
    """Answer one question, in a run of its own."""
    async with run(f"question-{number}", strategy="words") as current:
        await generate(query, await retrieve(query))
    await db.aflag(run_id=current.id, reason="training", note="answered")


async def main() -> None:
    """Answer three questions at once, and make a training file of them."""
    configure(project="capitals", backend="sqlite:///traces.db")
    countries = ("France", "Norway", "Italy")
    await asyncio.gather(*(ask(number, f"capital of {country}?") for number, country in enumerate(countries)))


if __name__ == "__main__":
    asyncio.run(main())
    manifest = export.to_chat_jsonl(db.stream("chat", flagged_for="training"), "training/chat.jsonl")
    print(manifest.counts)
    close()
