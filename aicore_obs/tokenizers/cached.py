"""This module is where tiktoken counts, with vocabularies that it has fetched before.

It fetches what is not in its cache, or is damaged there, so that both are looked at before it is asked.
Source: tiktoken 0.14.0 (``load.read_file_cached``, ``tiktoken_ext.openai_public``), read 2026-11-28.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

import tiktoken

# Vocabulary → the SHA-256 of its file, without which tiktoken would fetch it anew.
_FILES = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def count(text: str, vocabulary: str) -> int:
    """Return how many tokens a text has in a vocabulary such as ``o200k_base``.

    Raises:
        LookupError: tiktoken has no such vocabulary in its cache.
    """
    return len(_encoding(vocabulary).encode_ordinary(text))


@cache
def _encoding(vocabulary: str) -> tiktoken.Encoding:
    file = _cache_directory() / hashlib.sha1(_URL.format(vocabulary).encode()).hexdigest()
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != _FILES.get(vocabulary):
        raise LookupError(f"{vocabulary} is not in {file.parent}")
    return tiktoken.get_encoding(vocabulary)


def _cache_directory() -> Path:
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in os.environ:
            return Path(os.environ[name])
    return Path(tempfile.gettempdir()) / "data-gym-cache"
