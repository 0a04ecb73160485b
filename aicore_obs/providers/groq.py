"""This module is where Groq is described.

Source: groq 1.7.0 (``types.completion_usage``) and console.groq.com/docs, read 2026-11-21. OpenAI's names; the
``*_time`` members of the usage are seconds, and the last chunk of a stream has the usage twice (``x_groq.usage``).
"""

from aicore_obs.sdks import stainless
from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "groq"
hosts = ("api.groq.com",)
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
hooks = stainless.hooks("groq", tested="1.7.0")
