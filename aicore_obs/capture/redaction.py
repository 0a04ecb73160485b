"""This module is where secrets are taken out of arguments, options and headers, before anything touches a disk.

The walk covers keys of arguments, extras and whatever is nested in them, but not the texts of messages and responses:
those are the user's content, and the ``redact`` hook is there for them. Keys are compared whole, so that
``max_tokens`` is no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicore_obs.capture.plain import to_plain
from aicore_obs.capture.scrub import REDACTED, looks_like_key, scrub, without_url_secrets

# Whole names, lower case, without "_" and "-": ``api_key``, ``API-Key`` and ``apiKey`` are one.
_SECRET_NAMES = frozenset(
    {
        "accesskey",
        "accesskeyid",
        "accesstoken",
        "accountkey",
        "apikey",
        "apisecret",
        "apitoken",
        "auth",
        "authorization",
        "authtoken",
        "awsaccesskeyid",
        "awssessiontoken",
        "azureadtoken",
        "bearer",
        "bearertoken",
        "bottoken",
        "clientsecret",
        "connectionstring",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "ghtoken",
        "githubtoken",
        "hftoken",
        "idtoken",
        "jwt",
        "oauthtoken",
        "ocpapimsubscriptionkey",
        "passphrase",
        "passwd",
        "password",
        "privatekey",
        "proxyauthorization",
        "pwd",
        "refreshtoken",
        "sastoken",
        "secret",
        "secretaccesskey",
        "secretkey",
        "secrets",
        "securitytoken",
        "sessiontoken",
        "setcookie",
        "sharedaccesskey",
        "signingkey",
        "slacktoken",
        "subscriptionkey",
        "token",
        "xamzsecuritytoken",
        "xapikey",
        "xauthtoken",
        "xfunctionskey",
        "xgoogapikey",
    }
)
_SECRET_ENDINGS = (
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "authtoken",
    "clientsecret",
    "oauthtoken",
    "password",
    "privatekey",
    "refreshtoken",
    "secretkey",
    "sessiontoken",
)
# Shorter words that end a name only as a word of their own.
_SECRET_LAST_WORDS = ("_secret", "_passwd", "_pwd", "_credentials")
# What people say and what they describe: content, and JSON Schema's names (which may *be* "password").
_CONTENT_NAMES = frozenset(
    {
        "$defs",
        "content",
        "contents",
        "definitions",
        "dependentrequired",
        "dependentschemas",
        "documents",
        "input",
        "inputs",
        "instructions",
        "message",
        "messages",
        "patternproperties",
        "prompt",
        "prompts",
        "properties",
        "query",
        "system",
        "systeminstruction",
        "systemprompt",
        "text",
        "texts",
    }
)
_PLAIN_SCALARS = frozenset({int, float, bool, type(None)})
_CACHE_SIZE = 4096
_verdicts: dict[Any, str] = {}
_SCHEMES = ("Bearer ", "bearer ", "BEARER ", "Basic ", "basic ", "BASIC ")
_KEY_STARTS = ("sk-", "sk_", "pk-", "rk_", "xai-", "gsk_", "hf_", "r8_", "gh", "glpat-", "xox", "AIza", "AKIA")


def without_secrets(value: Any) -> Any:
    """Return ``value`` with secrets replaced at any depth: the same object when there were none, else a copy."""
    kind = type(value)
    if kind is dict:
        return _clean_mapping(value)
    if kind is str:
        return _clean_text(value)
    if kind in _PLAIN_SCALARS or kind is bytes:
        return value
    if kind is list or kind is tuple:
        return _clean_sequence(value)
    # An object of a stranger may hold a secret in an attribute: look at what would be written of it.
    plain, _ = to_plain(value)
    if type(plain) is str:
        text = scrub(plain)
        return value if text == plain else text
    clean = without_secrets(plain)
    return value if clean is plain else clean


def _clean_mapping(mapping: Mapping[Any, Any]) -> Any:
    copy: dict[Any, Any] | None = None
    for key, item in mapping.items():
        verdict = _verdicts.get(key) or _judge(key)
        kind = type(item)
        if verdict == "content" or (verdict == "look" and kind in _PLAIN_SCALARS):
            continue
        clean = (_clean_text(item) if kind is str else without_secrets(item)) if verdict == "look" else _hidden(item)
        if clean is not item:
            copy = dict(mapping) if copy is None else copy
            copy[key] = clean
    return mapping if copy is None else copy


def _clean_sequence(items: list[Any] | tuple[Any, ...]) -> Any:
    copy: list[Any] | None = None
    for index, item in enumerate(items):
        kind = type(item)
        if kind in _PLAIN_SCALARS:
            continue
        is_pair = (kind is tuple or kind is list) and len(item) == 2
        clean = _clean_pair(item) if is_pair else without_secrets(item)
        if clean is not item:
            copy = list(items) if copy is None else copy
            copy[index] = clean
    return items if copy is None else copy


def _clean_pair(pair: list[Any] | tuple[Any, Any]) -> Any:
    """Return an element of a list of headers (name, value); two texts on their own are no header."""
    name = pair[0]
    if type(name) in _NAMES and (_verdicts.get(name) or _judge(name)) == "secret":
        hidden = _hidden(pair[1])
        return pair if hidden is pair[1] else [name, hidden]
    return _clean_sequence(pair)


_NAMES = frozenset({str, bytes})


def _clean_text(text: str) -> str:
    if text.startswith(_SCHEMES):
        return text.split(" ", 1)[0] + " " + REDACTED
    if text.startswith(_KEY_STARTS) and looks_like_key(text):
        return REDACTED
    return without_url_secrets(text) if "://" in text and ("@" in text or "=" in text) else text


def _hidden(item: Any) -> Any:
    return item if item is None or item is True or item is False else REDACTED


def _judge(key: Any) -> str:
    """Return what a key says of its value: ``secret``, ``content``, or ``look`` at it."""
    kind = type(key)
    if kind is not str and kind is not bytes:
        return "look"
    name = key.decode("latin-1") if kind is bytes else key
    name = name.lower().replace("-", "_")
    bare = name.replace("_", "")
    if bare in _SECRET_NAMES or bare.endswith(_SECRET_ENDINGS) or name.endswith(_SECRET_LAST_WORDS):
        verdict = "secret"
    else:
        verdict = "content" if bare in _CONTENT_NAMES else "look"
    if len(_verdicts) < _CACHE_SIZE and len(key) <= _MAX_CACHED_NAME:
        _verdicts[key] = verdict
    return verdict


_MAX_CACHED_NAME = 100
