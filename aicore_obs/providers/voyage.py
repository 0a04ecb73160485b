"""This module is where Voyage AI is described.

Source: docs.voyageai.com/reference, read 2026-11-21. Embeddings and rankings report ``total_tokens`` only, which is all
input.
"""

from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "voyage"
hosts = ("api.voyageai.com",)
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
