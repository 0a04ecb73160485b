"""This package is where operations, conversations and traces are shown: in notebooks, terminals, and as plain data."""
