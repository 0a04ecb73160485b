"""This package is where questions about many operations are answered, one module per kind of answer."""
