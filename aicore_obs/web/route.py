"""This module is where a request's scope is read: its id, its route, what its operations should carry.

Works on the plain ASGI scope (https://asgi.readthedocs.io/en/latest/specs/www.html). Nothing here changes the scope.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from aicore_obs.guard import attempt
from aicore_obs.model.ids import new_id

Scope = MutableMapping[str, Any]

REQUEST_ID_HEADER = b"x-request-id"
# The header comes from strangers: longer than this it is no id, and a new one is made.
MAX_REQUEST_ID = 128


def request_extras(scope: Scope) -> dict[str, Any]:
    """Return the extras of every operation that is recorded inside this request."""
    extras = {"request_id": request_id(scope), "http_route": http_route(scope)}
    return extras | {"http_method": scope["method"]} if "method" in scope else extras


def request_id(scope: Scope) -> str:
    """Return the id that the caller's proxy gave to the request, else a new one."""
    for name, value in scope.get("headers", ()):
        if name.lower() == REQUEST_ID_HEADER:
            text: str = value.decode("latin-1").strip()
            if text.isprintable() and 0 < len(text) <= MAX_REQUEST_ID:
                return text
    return new_id()


def http_route(scope: Scope) -> str:
    """Return the path with its parameters' names (``/chat/{id}``) once the framework routed, before that the path."""
    path: str = scope.get("path", "")
    if scope.get("route") is None:
        return path
    return attempt(_template, scope, path).value or path


def _template(scope: Scope, path: str) -> str:
    """Put the route's template in place of the part of the path that it matched.

    A route knows only its own tail: the prefixes of mounts and of included routers are taken from the path.
    """
    route = scope["route"]
    template: str = getattr(route, "path_format", None) or route.path
    matched = template.format_map(scope.get("path_params") or {})
    head = path[: -len(matched)] if path.endswith(matched) else scope.get("root_path", "")
    return f"{head}{template}"
