"""This module is where it is tested what is read from a request's scope."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aicore_obs.web.route import http_route, request_id


def _scope(path: str, template: str | None = None, /, root_path: str = "", **params: Any) -> dict[str, Any]:
    route = template and SimpleNamespace(path_format=template)
    return {"type": "http", "path": path, "root_path": root_path, "route": route, "path_params": params}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (_scope("/ask"), "/ask"),
        (_scope("/chat/7", "/chat/{id}", id=7), "/chat/{id}"),
        (_scope("/chat/a/b", "/chat/{rest}", rest="a/b"), "/chat/{rest}"),
        # the prefix of an included router
        (_scope("/api/v1/chat/7", "/v1/chat/{id}", id="7"), "/api/v1/chat/{id}"),
        # a mounted application
        (_scope("/sub/x/7", "/x/{y}", root_path="/sub", y="7"), "/sub/x/{y}"),
        # a parameter whose text is not that of the path
        (_scope("/chat/007", "/chat/{id}", id=7), "/chat/{id}"),
        (_scope("/sub/chat/007", "/chat/{id}", root_path="/sub", id=7), "/sub/chat/{id}"),
        # a route of a framework that we do not know
        ({"type": "http", "path": "/x", "route": object()}, "/x"),
    ],
)
def test_route_is_the_template_where_there_is_one(scope: dict[str, Any], expected: str) -> None:
    """The route has the names of its parameters, not their values; without a template it is the path."""
    assert http_route(scope) == expected


def test_request_id_is_that_of_the_header() -> None:
    """The id that a proxy gave is kept."""
    assert request_id({"headers": [(b"X-Request-Id", b" abc-1 ")]}) == "abc-1"


@pytest.mark.parametrize("value", [b"", b"   ", b"x" * 129, b"a\nb", b"a\x00b"])
def test_a_header_that_is_no_id_is_not_kept(value: bytes) -> None:
    """What a stranger sends instead of an id is not filed under; a new id is made."""
    assert len(request_id({"headers": [(b"x-request-id", value)]})) == 36
