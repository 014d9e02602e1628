"""How a study was made, as a paragraph for the methods section of a paper, and what to cite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sonoscale.files import digest
from sonoscale.report._format import count, flops, hours, join, plural
from sonoscale.report._model import StudyResults

__all__ = ["REFERENCES", "methods_text"]

OBJECTIVES = {
    "mae": "masked autoencoding",
    "latent": "prediction of a moving teacher's representations",
    "contrastive": "contrast of two views",
}
BACKBONES = {"vit": "a vision transformer", "conv": "a ConvNeXt", "cnn": "a CNN"}

REFERENCES = """@software{sonoscale,
  title = {Sonoscale},
  author = {{The Sonoscale authors}},
  version = {VERSION}
}
@article{deng2025unify,
  title = {Unify Variables in Neural Scaling Laws for General Audio Representations via Embedding Effective Rank},
  author = {Deng and Sun and Dou and Xu},
  journal = {arXiv:2510.10948},
  year = {2025}
}
@article{garrido2022rankme,
  title = {{RankMe}: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their Rank},
  author = {Garrido, Quentin and Balestriero, Randall and Najman, Laurent and LeCun, Yann},
  journal = {arXiv:2210.02885},
  year = {2022}
}
@inproceedings{roy2007effective,
  title = {The effective rank: A measure of effective dimensionality},
  author = {Roy, Olivier and Vetterli, Martin},
  booktitle = {EUSIPCO},
  year = {2007}
}
"""


def methods_text(results: StudyResults) -> str:
    """A draft of the methods section, of what the study's configuration and ledger say; sentences without a source
    there are left out.

    Citations are by the keys of `REFERENCES`, as Pandoc reads them.
    """
    parts = [_training(results), _rank(results), _quality(results), _laws(results), _machine(results)]
    return "\n\n".join(one for one in parts if one) + "\n"


def _training(results: StudyResults) -> str:
    points = results.final_points
    configs, runs = ({getattr(p, key) for p in points} for key in ("config", "run"))
    said = [
        f"We pre-trained {plural(len(runs), 'encoder')} ({plural(len(configs), 'configuration')}, "
        f"{plural(len(results.seeds), 'seed')})"
    ]
    kinds = _swept(results.settings, "objective", "kind") & set(OBJECTIVES)
    backbones = _swept(results.settings, "encoder", "backbone") & set(BACKBONES)
    if kinds:
        said.append(f" by {join(sorted(OBJECTIVES[one] for one in kinds))}")
    if backbones:
        said.append(f" with {join(sorted(BACKBONES[one] for one in backbones))} on log-mel spectrograms")
    said.append(".")
    axes = sorted({str(key) for key in results.settings.get("sweep") or ()})
    if axes:
        said.append(f" Varied were {join([f'`{one}`' for one in axes])} ({_design(results.settings)}).")
    extents = []
    for column, shown, words in (
        ("params", count, "has {} parameters"), ("flops", flops, "was trained with {} FLOPs"),
        ("hours_seen", hours, "processed {} of audio"),
    ):  # fmt: skip
        values = sorted({p.get(column) for p in points if math.isfinite(p.get(column))})
        if values:
            extents.append(words.format(" to ".join(dict.fromkeys([shown(values[0]), shown(values[-1])]))))
    return "".join(said) + (f" An encoder {join(extents)}." if extents else "")


def _design(settings: Mapping[str, Any]) -> str:
    design = settings.get("design") or "one-at-a-time"
    if isinstance(design, list):
        return ", ".join(_design({"design": one}) for one in design)
    return str(design.get("kind")) if isinstance(design, dict) else str(design)


def _swept(settings: Mapping[str, Any], section: str, key: str) -> set[str]:
    """All values of a key in the base, the families and the sweep."""
    found = {(settings.get(section) or {}).get(key)}
    found |= {((one or {}).get(section) or {}).get(key) for one in settings.get("families") or ()}
    for name, values in (settings.get("sweep") or {}).items():
        listed = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
        for value in listed:
            if name == f"{section}.{key}":
                found.add(value)
            elif isinstance(value, dict):
                found |= {value.get(f"{section}.{key}"), value.get(key) if name == section else None}
    return {one for one in found if isinstance(one, str)}


def _rank(results: StudyResults) -> str:
    counts = sorted({int(p.get("rank_n")) for p in results.points if math.isfinite(p.get("rank_n"))})
    if not counts:
        return ""
    return (
        "The effective rank is RankMe [@garrido2022rankme; @roy2007effective] of the mean over tokens, uncentred, on "
        f"{join([f'{n:,}' for n in counts])} clips that were not trained on, with a jackknife interval over blocks of "
        "clips."
    )


def _quality(results: StudyResults) -> str:
    metrics = sorted({one for one in results.metrics.values() if one})
    return (
        f"Frozen encoders were scored on {plural(len(results.tasks), 'task')} ({join(list(results.tasks))}; "
        f"{join(metrics) or 'scores'}) by the protocols {join(list(results.protocols)) or 'of the ledger'}, reading "
        f"out {join(list(results.readouts))}. {results.quality_rule}"
    )


def _laws(results: StudyResults) -> str:
    if not results.laws.fits:
        return ""
    draws = (results.settings.get("law") or {}).get("bootstrap")
    by = f" from {draws:,} bootstrap resamples" if isinstance(draws, int) else ""
    return (
        f"Laws were fitted by least squares; {results.laws.percent} intervals are{by} of configurations, so that seeds "
        "and checkpoints of one configuration are not taken for independent. Errors of prediction are those on "
        "configurations left out."
    )


def _machine(results: StudyResults) -> str:
    about = results.provenance
    made = [f"{name} {about[name]}" for name in ("python", "torch", "numpy", "scipy") if about.get(name)]
    where = f", {about['cpu']}, {about['cores']} cores" if about.get("cpu") and about.get("cores") else ""
    command = f" Command: `{about['command']}`." if about.get("command") else ""
    return (
        f"Computed with Sonoscale {about.get('sonoscale', '')} [@sonoscale] after [@deng2025unify] ({', '.join(made)}"
        f"{where}; {str(about.get('created', ''))[:10]}).{command} SHA-256 of the ledger: "
        f"`{digest(results.folder / 'ledger.parquet')}`."
    )
