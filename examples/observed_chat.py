"""This module is where a program has its OpenAI calls recorded: one session, one traced function, one stream.

Run it with ``OPENAI_API_KEY=… python -m examples.observed_chat "What colour is the sky?"``; then look into
``llm_observability.json``, or read the store with ``aicore_obs.LlmOperationCollector.polars_from_db()``.
"""

from __future__ import annotations

import sys

from openai import OpenAI

from aicore_obs.observer import observe, observer


@observe
def ask(client: OpenAI, question: str) -> str:
    """Ask, and print the answer as it comes; the usage comes with the last chunk."""
    said = []
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            print(text, end="", flush=True)
            said.append(text)
    print()
    return "".join(said)


def main(question: str) -> str:
    observer.observe("example", labels={"app": "observed_chat"})
    try:
        with OpenAI() as client:
            return ask(client, question)
    finally:
        observer.end()
        print("exported to", observer.flush())


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "What colour is the sky?")
