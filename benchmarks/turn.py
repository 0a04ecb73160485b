"""This module is where one turn runs: a function of a measurement, in a process of its own.

``python -m benchmarks.turn benchmarks.caller:turn '{"pace_s": 0}'`` prints its figures as JSON on the last line.
"""

from __future__ import annotations

import importlib
import sys

import msgspec


def main() -> None:
    """Call the function that the command line names, and print what it took."""
    module, function = sys.argv[1].split(":")
    taken = getattr(importlib.import_module(module), function)(**msgspec.json.decode(sys.argv[2]))
    print(msgspec.json.encode(taken).decode(), flush=True)


if __name__ == "__main__":
    main()
