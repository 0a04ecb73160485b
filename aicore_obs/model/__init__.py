"""This package is where it is said what a record is; nothing here does I/O."""
