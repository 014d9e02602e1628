"""Audio in a data set of Hugging Face `datasets`: from the Hub, saved to disk, or Parquet files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow

from sonoscale.audio._read import Source
from sonoscale.corpora._files_corpus import Recording, Segments, contents, cut_all, headers, need_clips
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need

_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves


@dataclass(frozen=True)
class HfSegments(Segments):
    """Clips of the rows of a `datasets.Dataset`, decoded here and not by it. A recording's source is its row."""

    dataset: Any
    column: str
    fingerprint: str

    def _content(self) -> bytes:
        """What `datasets` calls the content, and that of the files that hold it, of the table and of the audio."""
        recordings = [clip.recording.source for clip in self.clips]
        sources = (
            _encoded(self.dataset, self.column, row) for row in dict.fromkeys(recordings) if isinstance(row, int)
        )
        files = [Path(file["filename"]) for file in getattr(self.dataset, "cache_files", ())]
        files += [source for source in sources if isinstance(source, Path)]
        return hashlib.sha256(self.fingerprint.encode() + b"".join(contents(files))).digest()

    def _source(self, recording: Recording) -> Source:
        assert isinstance(recording.source, int)
        return _encoded(self.dataset, self.column, recording.source)

    def _called(self, recording: Recording) -> str:
        return self.place + recording.name

    @cached_property
    def _described(self) -> Any:
        return self.dataset.remove_columns(self.column)

    def row(self, index: int) -> Mapping[str, Any]:
        """All columns but the audio's; class labels by name."""
        source = self.clips[index].recording.source
        row = self._described[source]
        for column, feature in self.dataset.features.items():
            label = row.get(column)
            if hasattr(feature, "int2str") and isinstance(label, int) and 0 <= label < feature.num_classes:
                row[column] = feature.int2str(label)
        return row


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved this folder with `save_to_disk`."""
    return any((folder / mark).is_file() for mark in _SAVED)


def open_hf(spec: str, *, sample_rate: int, max_seconds: float | None, key: str | None = None) -> HfSegments:
    """All rows of one split.

    Arguments:
        spec: `owner/name[:config][:split]` of the Hub, with or without `hf:` before it; or the folder of a saved
            data set or of Parquet files, or a Parquet file, in the place of `owner/name`.
        sample_rate: Hz.
        max_seconds: see `open_corpus`.
        key: the column of audio; by default the first one whose feature is Audio.

    Raises:
        SonoscaleError: `datasets` is not installed or cannot load it; no or several splits; no column of audio.
    """
    spec = spec.removeprefix("hf:")
    return rows_of(_load(spec), spec, sample_rate=sample_rate, max_seconds=max_seconds, key=key)


def rows_of(
    dataset: Any, spec: str, *, sample_rate: int, max_seconds: float | None, key: str | None = None
) -> HfSegments:
    """The rows of a `datasets.Dataset`; for `spec`, in messages and names, and the rest see `open_hf`."""
    _check_content(spec, dataset)
    column = _column(spec, dataset, key)
    fingerprint = dataset._fingerprint  # the name by which `datasets` itself knows content
    if getattr(dataset, "_indices", None) is not None:
        dataset = dataset.flatten_indices()
    dataset = _undecoded(dataset, column)
    sources: list[Source] = []
    found: list[tuple[str, Any]] = []
    for i in range(len(dataset)):
        source = _encoded(dataset, column, i)
        said = _path_of(dataset, column, i)
        found.append((f"[{i}]{' ' + said if said else ''}", i))
        sources.append(source)
    clips, skipped = cut_all(found, headers(sources), lambda i: {}, max_seconds)
    need_clips(clips, skipped, spec)
    return HfSegments(
        "hf", spec, tuple(clips), sample_rate, max_seconds, tuple(skipped),
        dataset=dataset, column=column, fingerprint=fingerprint,
    )  # fmt: skip


def _check_content(spec: str, dataset: Any) -> None:
    """Whether the table of a data set holds together: the reader of Arrow trusts the offsets in a damaged file.

    Raises:
        SonoscaleError: it does not.
    """
    try:
        dataset.data.table.validate(full=True)
    except pyarrow.ArrowException as error:
        raise SonoscaleError(f"{spec}: damaged: {_reason(error)}") from error


def _load(spec: str) -> Any:
    """One `datasets.Dataset`."""
    found, split = load_splits(spec)
    name = spec.partition(":")[0]
    if not isinstance(found, Mapping):
        return found
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    if split not in found:
        what = "several splits" if split is None else f"no split '{split}'"
        raise SonoscaleError(f"{spec}: {what}; write one of {', '.join(f'hf:{name}:{s}' for s in found)}")
    return found[split]


def load_splits(spec: str) -> tuple[Any, str | None]:
    """One `datasets.Dataset` or a mapping of them, and the split that `spec` names.

    Raises:
        SonoscaleError: `datasets` is not installed or cannot load it.
    """
    datasets: Any = need("datasets", what=spec)
    name, *options = spec.split(":")
    if len(options) > 2 or not name:
        raise SonoscaleError(f"'{spec}': a Hugging Face data set is written hf:owner/name[:config][:split]")
    place = Path(name)
    try:
        if place.is_dir() and is_saved(place):
            found = datasets.load_from_disk(name)
            split = options[-1] if options else None
        elif place.is_file():
            found = datasets.load_dataset("parquet", data_files=name)
            split = options[-1] if options else None
        else:
            config, split = _options(datasets, name, options)
            found = datasets.load_dataset(name, config)
    except Exception as error:  # whatever files that it does not expect bring about
        raise SonoscaleError(f"{spec}: datasets cannot load it ({_reason(error)})") from error
    return found, split


def _options(datasets: Any, name: str, options: list[str]) -> tuple[str | None, str | None]:
    """Configuration and split. One alone is the configuration if there is one of that name."""
    if len(options) == 2:
        return options[0] or None, options[1] or None
    if not options:
        return None, None
    is_config = options[0] in datasets.get_dataset_config_names(name)
    return (options[0], None) if is_config else (None, options[0])


def _reason(error: BaseException) -> str:
    """The first cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = " ".join(str(error).split()) or type(error).__name__
    if "torchcodec" in reason:
        return "of a folder of audio files it wants torchcodec; give the folder itself or its metadata.csv"
    return reason if len(reason) <= 200 else reason[:200] + "..."


def _column(spec: str, dataset: Any, wanted: str | None) -> str:
    features = dataset.features
    if wanted is not None and wanted in features:
        return wanted
    audio = [column for column, feature in features.items() if type(feature).__name__ == "Audio"]
    if wanted is None and audio:
        return audio[0]
    missing = "no column of audio" if wanted is None else f"no column '{wanted}'"
    raise SonoscaleError(f"{spec}: {missing}; its columns are {', '.join(features)}: name one as key")


def _undecoded(dataset: Any, column: str) -> Any:
    if type(dataset.features[column]).__name__ != "Audio":
        return dataset
    from datasets import Audio

    return dataset.cast_column(column, Audio(decode=False))


def _encoded(dataset: Any, column: str, row: int) -> Source:
    """The audio of a row: a path, or a view of its bytes where they are mapped from disk."""
    value = _scalar(dataset, column, row)
    if pyarrow.types.is_struct(value.type):
        content = value.get("bytes") if value.is_valid and value.type.get_field_index("bytes") >= 0 else None
        if content is not None and content.is_valid:
            return pyarrow.BufferReader(content.as_buffer())
        return Path(_path_of(dataset, column, row))
    if pyarrow.types.is_string(value.type) or pyarrow.types.is_large_string(value.type):
        return Path(value.as_py() or "")
    if pyarrow.types.is_binary(value.type) or pyarrow.types.is_large_binary(value.type):
        return pyarrow.BufferReader(value.as_buffer()) if value.is_valid else b""
    raise SonoscaleError(f"column '{column}': encoded audio or paths are needed, not {value.type}")


def _path_of(dataset: Any, column: str, row: int) -> str:
    value = _scalar(dataset, column, row)
    if not value.is_valid or not pyarrow.types.is_struct(value.type) or value.type.get_field_index("path") < 0:
        return ""
    return value["path"].as_py() or ""


def _scalar(dataset: Any, column: str, row: int) -> Any:
    return dataset.data.column(column)[row]
