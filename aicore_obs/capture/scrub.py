"""This module is where keys, tokens and passwords are taken out of free text: error messages, stacks, ``repr``.

What a key looks like is a guess by the vendors' prefixes; what stands behind a telling name needs no guess. Every
pattern begins with plain characters, which the regex engine looks for quickly; what stands before is checked after.
"""

from __future__ import annotations

import re

REDACTED = "[redacted]"

# Up to the last @ before the path: a password may hold one itself.
_URL_PASSWORD = re.compile(r"://([^\s/?#:@\"'<>]*):[^\s/?#\"'<>]+@")
_URL_PARAMETER = re.compile(
    r"([?&](?i:api[_-]?key|key|(?:access[_-]|auth[_-]|id[_-]|refresh[_-])?token|password|secret|sig|signature"
    r"|x-amz-(?:credential|signature|security-token))=)[^&\s#\"'<>]+"
)
# name, separator, then a quoted text or a word; the first letters make it three times faster (and match more: "pookie")
_ASSIGNMENT = re.compile(
    r"([aApPsStTcC](?i:pi[_-]?key|uthorization|ccess[_-]?key|assword|asswd|(?<=p)wd|rivate[_-]?key|ecret(?:[_-]?key)?"
    r"|oken|ookie|redentials?))"
    r"(\\?['\"]?\s*(?:=>|[=:])\s*(?:b(?=['\"]))?|['\"],\s*b?(?=['\"]))"
    r"(?:(\\?['\"])(?:(?!\3).)+\3?|(?:(?i:bearer|basic|token)\s+)?[^'\",;\s)}\]]+)",
)
_KEY = re.compile(
    r"(?:sk|pk|rk|xai|gsk|hf|r8|ghp|gho|github_pat|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}|AKIA[A-Z0-9]{16}"
)
# Of which every match has one, however it is written: to look for all of them takes a hundredth of the patterns' time.
_SIGNS = (
    *("key", "author", "passw", "pwd", "secret", "token", "cook", "cred", "://", "bearer", "basic", "aiza", "akia"),
    *("sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "xai-", "xai_", "hf-", "hf_", "r8-", "r8_", "ghp", "gho", "pat"),
    *("xox", "?s", "&s", "amz"),
)
_SCHEME = re.compile(r"(?:[Bb]earer|BEARER|[Bb]asic|BASIC)\s+[A-Za-z0-9._~+/-]{16,}=*")


def without_url_secrets(text: str) -> str:
    """Return ``text`` with the password, and the parameters that are keys, of every URL in it replaced."""
    return _URL_PARAMETER.sub(rf"\1{REDACTED}", _URL_PASSWORD.sub(rf"://\1:{REDACTED}@", text))


def scrub(text: str) -> str:
    """Return free text without URL passwords, what stands behind a telling name, and what looks like a key."""
    folded = text.casefold()
    return _scrubbed(text) if any(sign in folded for sign in _SIGNS) else text


def _scrubbed(text: str) -> str:
    text = _ASSIGNMENT.sub(_assigned, without_url_secrets(text))
    return _SCHEME.sub(REDACTED, _KEY.sub(_found, text))


def looks_like_key(text: str) -> bool:
    """Return whether the whole text is a key."""
    return _KEY.fullmatch(text) is not None


def _assigned(match: re.Match[str]) -> str:
    if _is_inside_word(match) and not match[1].lower().startswith("api"):
        return match[0]
    quote = match[3] or ""
    return f"{match[1]}{match[2]}{quote}{REDACTED}{quote}"


def _found(match: re.Match[str]) -> str:
    return match[0] if _is_inside_word(match) else REDACTED


def _is_inside_word(match: re.Match[str]) -> bool:
    start = match.start()
    return start > 0 and match.string[start - 1].isalnum()
