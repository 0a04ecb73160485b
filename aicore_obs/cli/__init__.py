"""This package is where the `aicore-obs` command is; it holds words and layout, no work of its own."""
