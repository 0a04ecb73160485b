"""This package is where operations lie in Parquet files that any program reads, and are read beside their store."""
