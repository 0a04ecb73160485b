"""This module is where Vertex AI is described: Google's models and those of others.

Source: google-genai 3.4.0 (``types``) and cloud.google.com/vertex-ai/generative-ai/docs, read 2026-11-21. Gemini
answers in Google's shape, Claude in Anthropic's, Mistral and Llama in OpenAI's.
"""

from aicore_obs.shapes import anthropic, google, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.openai_usage import Habits
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "vertex"
hosts = ("aiplatform.googleapis.com", "-aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com")
_COMPATIBLE = openai.OpenAI(habits=Habits(hides_thoughts=True))
read_response = reader(google.SHAPE, anthropic.SHAPE, _COMPATIBLE)
read_text = text_reader(google.SHAPE, anthropic.SHAPE, _COMPATIBLE)
