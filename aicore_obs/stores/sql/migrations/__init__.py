"""This package is where the schema's steps are, one file each in ``versions``, and what runs them.

A step's file is never edited after its release. It declares ``revision`` (the schema version, four digits),
``down_revision``, ``step`` (``minor``: an older program keeps reading and writing; ``major``: it does not),
``oldest_writer`` (the lowest program version that may write from then on; a major step's own version), and
``upgrade(op, place)`` and ``downgrade(op, place)``. The operations are handed in, since Alembic's global ``op``
cannot serve two stores at once.
"""
