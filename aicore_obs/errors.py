"""This module is where every exception that a user can meet is defined.

::

    AicoreObsError
    ├── ConfigurationError (ValueError)      an option, URL or path that cannot work
    │   ├── MissingExtraError (ImportError)  an optional package is not installed
    │   ├── DurabilityError                  the durability that was asked for cannot be had here
    │   └── PriceError                       a price row or a file of them cannot be used
    ├── UnknownParameterError (TypeError)    a keyword that record_* does not take
    ├── FilterError (ValueError)             a filter name or value that does not exist
    ├── UnknownIdError (LookupError)         an id that nothing in the store has, or that several begin with
    ├── StatementError (ValueError)          a provider's statement that cannot be read as one
    ├── JournalFull (RuntimeError)           overflow="raise" and the journal is at its cap
    ├── NotOpenError (RuntimeError)          used after close, or from where it cannot work
    ├── StoreError
    │   ├── StoreNotFoundError (FileNotFoundError)   nothing to read there; reading never creates
    │   ├── StoreDamagedError                a file that is not what its name says
    │   └── SchemaError                      the store's schema does not fit this program
    └── SinkError                            what a sink raises to the road (never to a caller)
        ├── SinkUnavailable                  try again later: every record of the batch is kept
        └── SinkRejected                     these rows cannot be stored; the batch is split
"""

from __future__ import annotations


class AicoreObsError(Exception):
    """Root of all exceptions of this package."""


class ConfigurationError(AicoreObsError, ValueError):
    """An option, URL or path cannot work; the message has the value and the way out."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional package is needed; the message is the pip command."""


class DurabilityError(ConfigurationError):
    """The durability that was asked for by name cannot be had on this machine."""


class PriceError(ConfigurationError):
    """A price row, or a file of them, cannot be used; the message names the row, the value and the way out."""


class UnknownParameterError(AicoreObsError, TypeError):
    """A keyword that ``record_*`` does not take."""


class FilterError(AicoreObsError, ValueError):
    """A filter name or value that does not exist; the message lists the right ones."""


class UnknownIdError(AicoreObsError, LookupError):
    """Nothing in the store has this id, or several ids begin with it; the message says which, or what to do."""


class StatementError(AicoreObsError, ValueError):
    """A provider's statement cannot be read; the message names the file and, where there is one, row and column."""


class JournalFull(AicoreObsError, RuntimeError):  # noqa: N818 - the name that BEHAVIOUR gives users
    """The journal is at its cap and ``overflow="raise"`` was asked for."""


class NotOpenError(AicoreObsError, RuntimeError):
    """The collector is closed, or the call came from a place where it cannot work."""


class StoreError(AicoreObsError):
    """Root of what goes wrong with a store when a user asks it something."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is nothing to read at that place."""


class StoreDamagedError(StoreError):
    """A file is not what its name or its place says."""


class SchemaError(StoreError):
    """The schema of the store does not fit this version of the program."""


class SinkError(AicoreObsError):
    """Root of what a sink raises to the road."""


class SinkUnavailable(SinkError):  # noqa: N818 - a state, not a mistake
    """The sink cannot take anything now; the batch is kept and tried again."""


class SinkRejected(SinkError):  # noqa: N818 - a verdict, not a mistake
    """The sink will never take at least one row of this batch; the road splits it."""
