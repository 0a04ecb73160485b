"""This module is where Perplexity is described.

Source: docs.perplexity.ai/api-reference, read 2026-11-21. OpenAI's names; deep research reports ``reasoning_tokens``
beside the completion and in no total, ``num_search_queries`` are its searches, ``usage.cost`` is the bill, item by
item.
"""

from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.openai_usage import Habits
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "perplexity"
hosts = ("api.perplexity.ai",)
_SHAPE = openai.OpenAI(habits=Habits(reports_apart=True))
read_response = reader(_SHAPE)
read_text = text_reader(_SHAPE)
