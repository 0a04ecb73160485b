"""This package is where the stores are: durable sinks that can be read back, one file or folder each."""
