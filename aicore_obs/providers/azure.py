"""This module is where Azure is described: OpenAI's models on Azure, and the others of its catalogue.

Source: learn.microsoft.com/azure/ai-services/openai/reference and ai-foundry's model inference API, read 2026-11-21.
Bodies are OpenAI's; ``model`` in the request is the name of a deployment. Anthropic's and Cohere's models answer in
their own shapes.
"""

from aicore_obs.shapes import anthropic, cohere, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "azure"
hosts = ("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com", "inference.ai.azure.com")
read_response = reader(openai.SHAPE, anthropic.SHAPE, cohere.SHAPE)
read_text = text_reader(openai.SHAPE, anthropic.SHAPE, cohere.SHAPE)
