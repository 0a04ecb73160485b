"""This module is where Google's Gemini API is described: generateContent, embeddings, Imagen, Veo.

Source: google-genai 3.4.0 (``types``) and ai.google.dev/api, read 2026-11-21. Thoughts are beside the candidates; the
OpenAI-compatible endpoint leaves them out of ``completion_tokens``, and only the total shows them.
"""

from aicore_obs.sdks import genai
from aicore_obs.shapes import google, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.openai_usage import Habits
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "google"
hosts = ("generativelanguage.googleapis.com",)
_COMPATIBLE = openai.OpenAI(habits=Habits(hides_thoughts=True))
read_response = reader(google.SHAPE, _COMPATIBLE)
read_text = text_reader(google.SHAPE, _COMPATIBLE)
hooks = genai.HOOKS
