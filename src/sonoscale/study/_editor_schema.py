"""JSON Schemas of study files and of runs, with which editors complete and check them."""

from __future__ import annotations

import copy
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.config import documented_schema
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.pretrain import RunConfig
from sonoscale.study._axes import DATA_KEYS, SECTIONS, Range, run_keys
from sonoscale.study._config import DESIGNS, StudyConfig
from sonoscale.study._encoders_config import EncoderStudyConfig

__all__ = ["schema"]

_SEEDS = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "description": "how many: 3 for 0, 1 and 2"},
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
    ]
}
_MIXTURE = {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}}


@in_one_line
def schema(of: str = "study") -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a study file, of a study of existing encoders, or of the file of a run.

    It checks names and types of all keys, the swept ones included; what keys allow together is checked when the file
    is loaded.

    Arguments:
        of: study, encoders (a study of existing ones) or run.

    Returns:
        The schema, to be written as JSON. Editors that know YAML take it from a first line
        `# yaml-language-server: $schema=study.schema.json`.

    Raises:
        SonoscaleError: it is none of these.

    Example:
        >>> from sonoscale.study import schema
        >>> schema()["properties"]["sweep"]["properties"]["encoder.depth"]["description"]
        'values of encoder.depth: blocks; of vit and conv 4 by default'
    """
    check_arguments(schema, locals())
    models = {"study": StudyConfig, "encoders": EncoderStudyConfig, "run": RunConfig}
    if of not in models:
        raise SonoscaleError(f"of = {of!r}: must be study, encoders or run")
    found = documented_schema(models[of])
    defs = found["$defs"]
    for name, section in defs.items():
        if name.endswith("Data") and "mixture" in section["properties"]:
            _widen(section["properties"], "mixture", _MIXTURE)
    if of != "study":
        return found
    defs["Range"] = documented_schema(Range)
    sweep = _sweep(defs)
    for section in (found, *(defs[name] for name in ("DesignConfig", "FamilyConfig", "SliceConfig"))):
        _replace(section["properties"], "sweep", sweep)
    kinds = {"enum": list(DESIGNS)}
    one = {"anyOf": [kinds, {"$ref": "#/$defs/DesignConfig"}]}
    for section in (found, defs["FamilyConfig"]):
        _replace(section["properties"], "design", {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]})
    _replace(found["properties"], "seeds", _SEEDS)
    _replace(defs["ReplicateConfig"]["properties"], "seeds", _SEEDS)
    points = {"type": "integer", "minimum": 1}
    _replace(defs["DesignConfig"]["properties"], "points", {"anyOf": [points, {"type": "array", "items": points}]})
    _replace(
        defs["ReplicateConfig"]["properties"], "at", {"anyOf": [{"enum": ["centre", "corners"]}, {"type": "object"}]}
    )
    for section, name in (("encoder", "EncoderConfig"), ("objective", "ObjectiveConfig"), ("train", "TrainConfig")):
        _replace(defs["FamilyConfig"]["properties"], section, {"$ref": f"#/$defs/{name}"})
    folder = defs["FolderData"]["properties"]
    data = {"type": "object", "additionalProperties": False, "properties": {key: folder[key] for key in DATA_KEYS}}
    _replace(defs["FamilyConfig"]["properties"], "data", data)
    return found


def _sweep(defs: dict[str, Any]) -> dict[str, Any]:
    """Of a sweep: each key of a run with its values, and names with keys that move together."""
    sections = {
        "data": defs["FolderData"], "encoder": defs["EncoderConfig"], "objective": defs["ObjectiveConfig"],
        "train": defs["TrainConfig"],
    }  # fmt: skip
    axes: dict[str, Any] = {}
    for key in run_keys():
        section, _, name = key.partition(".")
        one = copy.deepcopy(sections[section]["properties"][name])
        about = f"values of {key}" + (f": {one.pop('description')}" if "description" in one else "")
        for extra in ("default", "title"):
            one.pop(extra, None)
        if key in ("train.budgets", "train.flops"):
            one = {"anyOf": [{"type": "number"}, one]}
        listed = {"type": "array", "items": one, "minItems": 1}
        axes[key] = {"description": about, "anyOf": [listed, {"$ref": "#/$defs/Range"}]}
    together = {
        "description": "keys that move together: each with its values, or a list of what all are at a time",
        "anyOf": [
            {"type": "object", "additionalProperties": {"anyOf": [{"type": "array"}, {"$ref": "#/$defs/Range"}]}},
            {"type": "array", "items": {"type": "object"}, "minItems": 1},
        ],
    }
    named = {"not": {"pattern": r"\."}}  # a dotted name is a key of a run, and these are all listed
    return {
        "type": "object", "properties": axes | dict.fromkeys(SECTIONS, together), "propertyNames": {
            "anyOf": [{"enum": list(axes)}, named],
        }, "additionalProperties": together,
    }  # fmt: skip


def _widen(properties: dict[str, Any], name: str, also: dict[str, Any]) -> None:
    """Another type that a key may have."""
    one = properties[name]
    about = {key: one.pop(key) for key in ("default", "description", "title") if key in one}
    properties[name] = {"anyOf": [also, one], **about}


def _replace(properties: dict[str, Any], name: str, by: dict[str, Any]) -> None:
    """The type of a key, with its description and default as they are."""
    kept = {key: properties[name][key] for key in ("description", "title") if key in properties[name]}
    properties[name] = {**by, **kept}
