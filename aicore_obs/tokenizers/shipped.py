"""This module is where bpe-openai counts: its wheel holds the vocabularies."""

from __future__ import annotations

import bpe_openai


def count(text: str, vocabulary: str) -> int:
    """Return how many tokens a text has in a vocabulary such as ``o200k_base``.

    Raises:
        ValueError: there is no such vocabulary, or the text has a million characters or more.
    """
    return len(bpe_openai.get_encoding(vocabulary).encode_ordinary(text))
