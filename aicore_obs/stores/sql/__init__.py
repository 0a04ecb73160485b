"""This package is where the SQL stores are; their tables are declared once, in :mod:`.tables`."""
