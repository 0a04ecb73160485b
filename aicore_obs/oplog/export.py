"""This module is where records go into files and frames of other programs: what `oplog` calls ``export``.

``records`` are what ``db.query`` returned, or ``db.stream(…)``, which holds few of them in memory at a time. Files are
written whole or not at all, and missing folders are made.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from aicore_obs.errors import ConfigurationError, MissingExtraError
from aicore_obs.oplog import manifest as manifests
from aicore_obs.oplog.chat import Talk
from aicore_obs.oplog.fields import as_cell, as_column, as_json, fields_named, rows_of
from aicore_obs.oplog.files import WholeFile
from aicore_obs.oplog.manifest import Manifest, manifest_of
from aicore_obs.oplog.record import Record
from aicore_obs.oplog.training import Row, Training, TrainingOptions
from aicore_obs.plugins import load

if TYPE_CHECKING:
    import datasets
    import pandas as pd

Records = Iterable[Record]
_PANDAS = "aicore_obs.oplog.pandas_frames:frame_of"
_DATASETS = "aicore_obs.oplog.hugging_face"
_PARQUET = "aicore_obs.query.parquet:parquet_of"
_CHAT_DEFAULTS: TrainingOptions = {"deduplicate": True, "secrets": "mask"}


def to_jsonl(records: Records, path: str | Path, fields: Sequence[str] | None = None) -> int:
    """Write a line of JSON for each record; return how many.

    ``fields`` are dotted paths such as ``inputs.query``; each keeps its dotted name, and is null where it is missing.
    """
    names = fields_named(fields)
    with WholeFile(path) as file:
        for row in rows_of(records, names):
            file.add(as_json(row) + b"\n")
    return file.rows


def to_csv(records: Records, path: str | Path, fields: Sequence[str] | None = None) -> int:
    """Write a line of CSV for each record under a header; return how many. Objects and lists are JSON in their cell."""
    names = fields_named(fields)
    with WholeFile(path) as file:
        file.add(_csv_line(names), rows=0)
        for row in rows_of(records, names):
            file.add(_csv_line([as_cell(value) for value in row.values()]))
    return file.rows


def to_dataframe(records: Records, fields: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a pandas data frame of the records; objects and lists stay what they are.

    Raises:
        MissingExtraError: pandas is not installed; the message is the command.
    """
    names = fields_named(fields)
    return _loaded(_PANDAS, "pandas")(rows_of(records, names), names)


def to_dataset(
    records: Records,
    fields: Sequence[str] | None = None,
    *,
    chat: bool | Mapping[str, str] = False,
    **options: Unpack[TrainingOptions],
) -> datasets.Dataset | datasets.DatasetDict:
    """Return a Hugging Face dataset of the records; a ``DatasetDict`` where they are split.

    Args:
        records: what to take.
        fields: as in :func:`to_jsonl`.
        chat: rows as in :func:`to_chat_jsonl` (``messages``, and ``tools`` where there are any); or its ``system``,
            ``prompt`` and ``answer``.
        options: see :class:`~aicore_obs.oplog.training.TrainingOptions`. The manifest is in ``info.description``.

    Raises:
        MissingExtraError: ``datasets`` is not installed; the message is the command.
    """
    module = _loaded(_DATASETS, "datasets")
    names, training, form = _planned(fields, chat, options)
    splits: dict[str | None, list[Row]] = {name: [] for name in training.names}
    for name, row in training.rows(records):
        splits[name].append(row)
    manifest = manifest_of(form, training, records=records, options=options)
    return module.dataset_of(splits, names, about=as_json(manifest).decode())


def to_parquet(
    records: Records,
    path: str | Path,
    fields: Sequence[str] | None = None,
    *,
    chat: bool | Mapping[str, str] = False,
    **options: Unpack[TrainingOptions],
) -> Manifest:
    """Write a Parquet file of the records, with a manifest beside it; a file for each split where they are split.

    Parameters as in :func:`to_dataset`. Objects and lists are JSON text. The rows are in memory while they are written.
    """
    names, training, form = _planned(fields, chat, options)
    columns: dict[str | None, dict[str, list[Any]]] = {
        split: {name: [] for name in names or ("messages", "tools")} for split in training.names
    }
    for split, row in training.rows(records):
        for name, values in columns[split].items():
            values.append(as_column(row.get(name)))
    write_parquet: Callable[[Mapping[str, list[Any]]], bytes] = load(_PARQUET)
    with _files(path, training) as files:
        for split, file in files.items():
            height = len(next(iter(columns[split].values())))
            file.add(write_parquet(columns[split]), rows=height)
    return _finished(form, training, path, records=records, options=options, files=files.values())


def to_chat_jsonl(
    records: Records,
    path: str | Path,
    *,
    system: str | None = None,
    prompt: str | None = None,
    answer: str | None = None,
    **options: Unpack[TrainingOptions],
) -> Manifest:
    """Write the records as conversations, in the format of OpenAI's fine-tuning, with a manifest beside the file.

    Args:
        records: what to take. Failed and cut off operations, and those without an answer, are left out and counted.
        path: with ``split``, ``chat.jsonl`` becomes ``chat.train.jsonl``, ``chat.test.jsonl``, …
        system: instructions for those that have none of their own.
        prompt: a dotted path to what was asked, where it is no list of messages and not all of the inputs.
        answer: a dotted path to what was answered, where it is no provider's answer and not all of the outputs.
        options: see :class:`~aicore_obs.oplog.training.TrainingOptions`; here ``deduplicate`` is True and ``secrets``
            ``"mask"`` where nothing else is said.
    """
    chosen: dict[str, Any] = {**_CHAT_DEFAULTS, **options}
    told = {"system": system, "prompt": prompt, "answer": answer}
    training = Training(Talk(**told).example, chosen)
    with _files(path, training) as files:
        for split, row in training.rows(records):
            files[split].add(as_json(row) + b"\n")
    said = {**chosen, **{name: value for name, value in told.items() if value is not None}}
    return _finished("chat", training, path, records=records, options=said, files=files.values())


def _planned(
    fields: Sequence[str] | None, chat: bool | Mapping[str, str], options: Mapping[str, Any]
) -> tuple[tuple[str, ...], Training, str]:
    if chat is not False:
        talk = Talk(**_told(chat))
        return (), Training(talk.example, {**_CHAT_DEFAULTS, **options}), "chat"
    names = fields_named(fields)
    return names, Training(lambda record: next(rows_of([record], names)), options), "records"


def _told(chat: object) -> dict[str, str]:
    told = dict(chat) if isinstance(chat, Mapping) else {}
    if not (chat is True or isinstance(chat, Mapping)) or told.keys() - {"system", "prompt", "answer"}:
        raise ConfigurationError(f"chat={chat!r}: True, or a mapping with system, prompt or answer is needed")
    return told


class _Files(ExitStack):
    """The file of each split, all of them there when the block has ended well."""

    def __init__(self, paths: Mapping[str | None, Path]) -> None:
        super().__init__()
        self.of = {name: WholeFile(path, split=name) for name, path in paths.items()}

    def __enter__(self) -> dict[str | None, WholeFile]:  # type: ignore[override]
        super().__enter__()
        for file in self.of.values():
            self.enter_context(file)
        return self.of


def _files(path: str | Path, training: Training) -> _Files:
    whole = Path(path)
    paths = {name: whole if name is None else split_path(whole, name) for name in training.names}
    return _Files(paths)


def split_path(path: Path, name: str) -> Path:
    """Return the path of one split of a file: ``chat.train.jsonl`` of ``chat.jsonl``."""
    return path.with_name(f"{path.stem}.{name}{path.suffix}")


def _finished(
    form: str,
    training: Training,
    path: str | Path,
    *,
    records: Records,
    options: Mapping[str, Any],
    files: Iterable[WholeFile],
) -> Manifest:
    written = [file.written for file in files]
    manifest = manifest_of(form, training, records=records, options=options, files=written)
    manifests.write(manifest, path)
    return manifest


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _loaded(path: str, package: str) -> Any:
    try:
        return load(path)
    except ImportError as error:
        raise MissingExtraError(
            f"{package} is needed for this and is not installed: pip install 'aicore-obs[export]'"
        ) from error
