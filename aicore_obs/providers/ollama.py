"""This module is where Ollama is described.

Source: ollama 0.6.3 (``_types``) and docs/api.md of ollama/ollama, read 2026-11-21. Its own interface counts at the top
of the last line; the compatible one answers in OpenAI's shape. 11434 is its port wherever it runs.
"""

from aicore_obs.shapes import ollama, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "ollama"
hosts = ("ollama.com", ":11434")
read_response = reader(ollama.SHAPE, openai.SHAPE)
read_text = text_reader(ollama.SHAPE, openai.SHAPE)
