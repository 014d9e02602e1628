"""A study of existing encoders in one file: which encoders, what to measure their rank on, what to test them on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from sonoscale._yaml import read_yaml
from sonoscale.config import Config
from sonoscale.corpora import DataConfig, TaskConfig
from sonoscale.encoders import Readout
from sonoscale.errors import SonoscaleError
from sonoscale.study._config import (
    LawConfig,
    StudyConfig,
    _check_estimators,
    _check_layers,
    _check_protocols,
    _check_twice,
)
from sonoscale.study._imported import ImportedStudyConfig
from sonoscale.study._quality_config import QualityConfig
from sonoscale.study._schema import COLUMNS

__all__ = ["AnyStudyConfig", "EncoderEntry", "EncoderStudyConfig", "model_of", "model_of_file"]


class EncoderEntry(Config):
    """An encoder of a study, or of a catalogue of encoders."""

    name: str = Field(min_length=1)  # the column `label` of the ledger
    spec: str | None = None  # as `sonoscale measure` takes it; null where it needs code that is yours to write
    revision: str | None = None  # of an hf: spec
    family: str = Field(min_length=1)  # the column `family` of the ledger
    params: int | None = Field(default=None, gt=0)  # of the encoder; by default counted where that is possible
    hours: float | None = Field(default=None, gt=0)  # of audio that it was pre-trained on
    columns: dict[str, str | bool | int | float | None] = Field(default_factory=dict)  # further columns of the ledger
    license: str = ""  # of the weights
    citation: str = ""  # such as an arXiv number
    loaded: str = ""  # whether these very weights were ever loaded with Sonoscale, and where
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> EncoderEntry:
        taken = sorted(set(self.columns) & {column.name for column in COLUMNS})
        if taken:
            raise ValueError(f"encoder '{self.name}': the ledger has a column {taken[0]} of its own; rename it")
        if self.revision and not (self.spec or "").startswith("hf:"):
            raise ValueError(f"encoder '{self.name}': revision is of hf: specs only; leave it out")
        return self

    @property
    def source(self) -> str | None:
        """The spec with its revision."""
        if not self.spec or not self.revision:
            return self.spec
        place, mark, settings = self.spec.partition("?")
        return f"{place}@{self.revision}{mark}{settings}"


class EncoderStudyConfig(Config):
    """A study of encoders that exist already: nothing is trained."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # names the results folder
    description: str = ""  # shown at the top of the report
    encoders: tuple[EncoderEntry, ...]
    data: DataConfig  # the rank is measured on its held-out clips
    tasks: tuple[TaskConfig, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = ("linear", "knn", "few-shot")  # by which tasks are scored, each by those for its kind
    readouts: tuple[Readout, ...] = ("mean",)  # what is probed of an encoder's tokens; quality is that of the first
    layers: bool | tuple[int, ...] = False  # true: rank and scores of every layer too; or which, 0 the first
    estimators: tuple[str, ...] = ()  # of ranks, besides rankme and rankme_centred: further columns of the ledger
    quality: QualityConfig = QualityConfig()  # the rule by which quality is made of scores
    law: LawConfig = LawConfig()
    workers: int | None = Field(default=None, ge=1)  # threads, or processes, that decode; by default one per core

    @model_validator(mode="after")
    def _check(self) -> EncoderStudyConfig:
        if not self.encoders:
            raise ValueError("encoders is empty: give at least one")
        _check_twice("encoders", [one.name for one in self.encoders])
        _check_twice("tasks", [task.name for task in self.tasks])
        specs = [one.source for one in self.encoders if one.source is not None]
        twice = next((spec for spec in specs if specs.count(spec) > 1), None)
        if twice is not None:
            raise ValueError(f"encoders: the spec '{twice}' is used twice")
        for name in ("protocols", "readouts"):
            given = getattr(self, name)
            if not given or len(set(given)) != len(given):
                raise ValueError(f"{name} = {list(given)}: give at least one, each once")
        _check_protocols(self.protocols)
        _check_layers(self.layers)
        _check_estimators(self.estimators)
        if self.layers and "mean" not in self.readouts:
            raise ValueError(f"readouts = {list(self.readouts)}: layers are read by the mean; add it, or drop layers")
        return self


AnyStudyConfig = StudyConfig | EncoderStudyConfig | ImportedStudyConfig
"""What a study file may hold."""


def model_of(raw: Any) -> type[AnyStudyConfig]:
    """Which kind of study the content of a file is of: one with a section `encoders` is of existing encoders.

    Example:
        >>> model_of({"name": "zoo", "encoders": []}).__name__
        'EncoderStudyConfig'
    """
    if isinstance(raw, Mapping) and "imported" in raw:
        return ImportedStudyConfig
    return EncoderStudyConfig if isinstance(raw, Mapping) and "encoders" in raw else StudyConfig


def model_of_file(path: Path) -> type[AnyStudyConfig]:
    """`model_of` a YAML file; what cannot be read is left to the reader's message."""
    try:
        return model_of(read_yaml(path))
    except SonoscaleError:
        return StudyConfig
