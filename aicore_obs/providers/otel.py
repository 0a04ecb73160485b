"""This module is where what tracers say is described: the attributes of a span, given as the response.

Source: see :mod:`aicore_obs.shapes.spans`. The names of OpenTelemetry (new and up to 1.36), OpenLLMetry and
OpenInference are one shape: an attribute's name says whose it is.
"""

from aicore_obs.shapes import spans
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "otel"
hosts: tuple[str, ...] = ()
read_response = reader(spans.SHAPE)
read_text = text_reader(spans.SHAPE)
