"""This module is where secrets are taken out of arguments, options and headers, before anything touches a disk.

The walk covers keys of arguments, extras and whatever is nested in them, but not the texts of messages and responses:
those are the user's content, and the ``redact`` hook is there for them. Keys are compared whole, so that
``max_tokens`` is no token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aicore_obs.capture.plain import to_plain

REDACTED = "[redacted]"

_SECRET_NAMES = frozenset(
    {
        "access_key",
        "access_key_id",
        "access_token",
        "api_key",
        "api_token",
        "apikey",
        "auth",
        "auth_token",
        "authorization",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "azure_ad_token",
        "bearer",
        "bearer_token",
        "client_secret",
        "connection_string",
        "cookie",
        "credential",
        "credentials",
        "id_token",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "proxy_authorization",
        "pwd",
        "refresh_token",
        "sas_token",
        "secret",
        "secret_access_key",
        "secret_key",
        "secrets",
        "security_token",
        "session_token",
        "set_cookie",
        "signing_key",
        "token",
        "x_amz_security_token",
        "x_api_key",
        "x_auth_token",
        "x_goog_api_key",
    }
)
_SECRET_ENDINGS = ("_api_key", "_apikey", "_secret", "_secret_key", "_password", "_access_token", "_auth_token")
# What people say and what they describe: content, and JSON Schema properties (which may be *named* "password").
_CONTENT_NAMES = frozenset(
    {
        "messages",
        "message",
        "input",
        "inputs",
        "prompt",
        "prompts",
        "content",
        "contents",
        "text",
        "texts",
        "instructions",
        "system",
        "system_instruction",
        "system_prompt",
        "documents",
        "query",
        "properties",
    }
)
_PLAIN_SCALARS = frozenset({int, float, bool, type(None)})
_CACHE_SIZE = 4096
_verdicts: dict[str, str] = {}

_URL_PASSWORD = re.compile(r"(?<=://)([^\s/?#:@]*):([^\s/?#@]+)@")
_SCHEMES = ("Bearer ", "bearer ", "Basic ", "basic ")
_ASSIGNMENT = re.compile(
    r"(?i)\b((?:[a-z]+[_-])*(?:api[_-]?key|password|passwd|secret|token|authorization))"
    r"(['\"]?\s*[=:]\s*)(?:(?:bearer|basic)\s+)?(['\"]?)[^'\",\s)}\]]+"
)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|xai|gsk|hf|r8)[-_][A-Za-z0-9_-]{16,}|(?i:\bbearer\s+)[A-Za-z0-9._~+/-]{16,}=*")


def without_secrets(value: Any) -> Any:
    """Return ``value`` with secrets replaced at any depth: the same object when there were none, else a copy."""
    kind = type(value)
    if kind is dict:
        return _clean_mapping(value)
    if kind is str:
        return _clean_text(value)
    if kind in _PLAIN_SCALARS:
        return value
    if kind is list or kind is tuple:
        return _clean_sequence(value)
    if isinstance(value, bytes | bytearray):
        return value
    # An object of a stranger may hold a secret in an attribute: look at what would be written of it.
    plain, _ = to_plain(value)
    return without_secrets(plain) if type(plain) in _CONTAINERS else plain


_CONTAINERS = frozenset({dict, list})


def without_url_passwords(text: str) -> str:
    """Return ``text`` with the password of every URL in it replaced."""
    return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)


def scrub(text: str) -> str:
    """Return free text (an error message, a repr) without URL passwords and what looks like a key or a token."""
    text = _ASSIGNMENT.sub(rf"\1\2\3{REDACTED}", without_url_passwords(text))
    return _KEY_LIKE.sub(REDACTED, text)


def _clean_mapping(mapping: Mapping[Any, Any]) -> Any:
    copy: dict[Any, Any] | None = None
    for key, item in mapping.items():
        verdict = _verdicts.get(key) if type(key) is str else "look"
        if verdict is None:
            verdict = _judge(key)
        if verdict == "content" or (verdict == "look" and type(item) in _PLAIN_SCALARS):
            continue
        clean = without_secrets(item) if verdict == "look" else _hidden(item)
        if clean is not item:
            copy = dict(mapping) if copy is None else copy
            copy[key] = clean
    return mapping if copy is None else copy


def _clean_sequence(items: list[Any] | tuple[Any, ...]) -> Any:
    if len(items) == 2 and type(items[0]) is str and (_verdicts.get(items[0]) or _judge(items[0])) == "secret":
        return [items[0], _hidden(items[1])]
    clean = [without_secrets(item) for item in items]
    return clean if any(new is not old for new, old in zip(clean, items, strict=True)) else items


def _clean_text(text: str) -> str:
    if text.startswith(_SCHEMES):
        return text.split(" ", 1)[0] + " " + REDACTED
    return without_url_passwords(text) if "://" in text and "@" in text else text


def _hidden(item: Any) -> Any:
    return item if item is None or item is True or item is False else REDACTED


def _judge(key: str) -> str:
    name = key.lower().replace("-", "_")
    if name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS):
        verdict = "secret"
    else:
        verdict = "content" if name in _CONTENT_NAMES else "look"
    if len(_verdicts) < _CACHE_SIZE:
        _verdicts[key] = verdict
    return verdict


def secret_names() -> Iterable[str]:
    """Return the whole names of keys whose values are always removed."""
    return sorted(_SECRET_NAMES)
