"""This module is where LangChain is described, whose messages carry the usage of any provider.

Source: langchain-core 1.7.2 (``messages.ai.UsageMetadata``), read 2026-11-21. ``response_metadata.model_provider`` says
who answered and bills.
"""

from aicore_obs.shapes import langchain
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "langchain"
hosts: tuple[str, ...] = ()
read_response = reader(langchain.SHAPE)
read_text = text_reader(langchain.SHAPE)
