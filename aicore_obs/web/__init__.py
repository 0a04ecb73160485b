"""This package is where web applications meet the collector."""

from aicore_obs.web.middleware import LlmOperationMiddleware

__all__ = ["LlmOperationMiddleware"]
