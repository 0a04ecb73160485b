"""This package is where the schema's steps are, one file each; Alembic loads them by path."""
