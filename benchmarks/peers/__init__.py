"""This package is where other libraries do the same record, in the same run.

What a peer's program imports is the standard library, its own library and ``benchmarks.payload``, so that it can run on
another interpreter (``--peers-python``); ``msgspec`` is needed there for the floor of a record.
"""
