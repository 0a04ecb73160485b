"""This module is where Amazon Bedrock is described: converse, invoke_model with the models' native bodies, streams.

Source: botocore 1.44.5 (``bedrock-runtime``) and docs.aws.amazon.com/bedrock, read 2026-11-21. Converse has one shape
for all models; invoke_model answers in the model's own, and a stream's last event repeats the counts as
``amazon-bedrock-invocationMetrics``. The region before a model's name is part of its price.
"""

from __future__ import annotations

import json
from typing import Any

from aicore_obs.model.usage import NO_USAGE
from aicore_obs.protocols import Asked, Carrier, Hook, RequestFacts, ResponseFacts
from aicore_obs.shapes import anthropic, bedrock, cohere, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import NOTHING_ASKED, read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "bedrock"
hosts = ("bedrock-runtime.*.amazonaws.com", "bedrock-runtime-fips.*.amazonaws.com")
# Anthropic's comes first: the metrics at the end of its stream would read as Bedrock's own.
_SHAPES = (anthropic.SHAPE, bedrock.SHAPE, cohere.SHAPE, openai.SHAPE)
_read, _text = reader(*_SHAPES), text_reader(*_SHAPES)


def read_response(raw: bytes, asked: RequestFacts = NOTHING_ASKED) -> ResponseFacts:
    """Read a body or events, also as boto3 hands them over; headers count where the body does not."""
    facts = _read(bedrock.unwrapped(raw), asked)
    if facts.usage != NO_USAGE:
        return facts
    return bedrock.SHAPE.read(raw, asked) or facts


def read_text(raw: bytes) -> str | None:
    """Return the text of the answer."""
    return _text(bedrock.unwrapped(raw))


# Source of the hooks: botocore 1.44.8 (``client``), read 2026-11-27. Every method of every service passes
# here. The body of ``invoke_model`` is a stream that is the caller's to read; the headers have the counts.
_APIS = {
    "Converse": "converse",
    "ConverseStream": "converse_stream",
    "InvokeModel": "invoke_model",
    "InvokeModelWithResponseStream": "invoke_model_with_response_stream",
}


def _read_call(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    operation, parameters = (*args, *kwargs.values())[:2]
    api = _APIS.get(operation) if client.meta.service_model.service_name == "bedrock-runtime" else None
    if api is None:
        return None
    request = dict(parameters)
    if isinstance(request.get("body"), bytes | str):
        request["body"] = json.loads(request["body"])
    return Asked(api=api, request=request, base_url=client.meta.endpoint_url)


def _carrier(result: Any) -> Carrier | None:
    stream = next((one for one in result.values() if hasattr(one, "_event_generator")), None)
    if stream is None:
        return None
    # Without the stream itself: whoever drops it wants it gone.
    parser, shape = stream._parser, stream._output_shape  # noqa: SLF001 - there is no other place
    return Carrier(
        items="_event_generator", holder=stream, decode=lambda event: parser.parse(event.to_response_dict(), shape)
    )


hooks = (
    Hook(
        package="botocore",
        module="botocore.client",
        function="BaseClient._make_api_call",
        tested="1.44.8",
        parameters=("operation_name", "api_params"),
        read_call=_read_call,
        carrier=_carrier,
    ),
)
