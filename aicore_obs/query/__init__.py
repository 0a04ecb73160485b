"""This package is where stored operations come back as Polars frames."""
