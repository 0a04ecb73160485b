"""This module is where rows become a dataset of Hugging Face's ``datasets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, DatasetDict, DatasetInfo

from aicore_obs.guard import attempt
from aicore_obs.oplog.fields import as_column

Row = dict[str, Any]


def dataset_of(
    splits: Mapping[str | None, Sequence[Row]], names: Sequence[str], *, about: str
) -> Dataset | DatasetDict:
    """Return the dataset of the rows of each split; ``names`` are the columns, where they are known before.

    A column whose values have no common type (a number here and a text there) is JSON text, in every split.
    """
    rows = [row for split in splits.values() for row in split]
    names = names or tuple(dict.fromkeys(name for row in rows for name in row)) or ("messages",)
    as_text = {name for name in names if attempt(_arrow, [row.get(name) for row in rows]).error is not None}
    made = {
        split: Dataset.from_dict(
            {name: [_value(row.get(name), as_text=name in as_text) for row in of_split] for name in names},
            info=DatasetInfo(description=about),
        )
        for split, of_split in splits.items()
    }
    return made[None] if None in made else DatasetDict({name or "": dataset for name, dataset in made.items()})


def _arrow(values: list[Any]) -> Dataset:
    return Dataset.from_dict({"values": values})


def _value(value: Any, *, as_text: bool) -> Any:
    return as_column(value) if as_text else value
