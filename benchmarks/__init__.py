"""This package is where speed is measured: floors, ours and peers in one run.

``python -m benchmarks`` from the project's root; ``python -m benchmarks --help`` lists what can be chosen.
"""
