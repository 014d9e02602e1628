"""From `laws.json` to `Laws`: lenient about what is absent, plain about what is malformed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.report._model import Curve, Fit, Interval, Laws

__all__ = ["parse_laws"]


def parse_laws(raw: Mapping[str, Any], path: Path) -> Laws:
    """Read the fitted laws.

    Arguments:
        raw: The content of `laws.json`; every key may be absent.
        path: Where it came from, for messages.

    Returns:
        The laws; a number that is null or absent is NaN.
    """
    try:
        return Laws(
            y=str(raw.get("y") or "quality"),
            y_meaning=str(raw.get("y_meaning") or ""),
            fits=tuple(_fit(fit) for fit in raw.get("fits") or ()),
            correlations=_intervals(raw.get("correlations")),
            skipped=tuple(
                (str(skip.get("x", "")), str(skip.get("form", "")), str(skip.get("reason", "")))
                for skip in raw.get("skipped") or ()
            ),
            best={str(x): str(form) for x, form in (raw.get("best") or {}).items() if form},
            per_task={str(task): _intervals(by_x) for task, by_x in (raw.get("per_task") or {}).items()},
            seed_spread={str(k): _number(v) for k, v in (raw.get("seed_spread") or {}).items()},
            notes=tuple(str(note) for note in raw.get("notes") or ()),
            level=_level(raw),
            baseline=str(raw.get("baseline") or ""),
            audit=_audit((raw.get("audit") or {}).get("rankme")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SonoscaleError(f"{path} is not of the expected shape: {type(error).__name__}: {error}") from error


def _audit(raw: Mapping[str, Any] | None) -> str:
    if not raw or not raw.get("verdict"):
        return f"Rank was not audited: {raw['reason']}." if raw and raw.get("reason") else ""
    needed = f" Runs that would settle it: {raw['needed']}." if raw.get("needed") else ""
    return f"Is rank to be trusted here? {raw['words']}. {raw['reason']}.{needed}"


def _level(raw: Mapping[str, Any]) -> float:
    told = [*(raw.get("fits") or ()), *(raw.get("correlations") or {}).values()]
    return next((float(entry["level"]) for entry in told if entry and "level" in entry), 0.95)


def _fit(raw: Mapping[str, Any]) -> Fit:
    return Fit(
        x=str(raw["x"]),
        y=str(raw.get("y") or "quality"),
        form=str(raw["form"]),
        formula=str(raw.get("formula") or ""),
        params=_intervals(raw.get("params")),
        exponent=str(raw["exponent"]) if raw.get("exponent") else None,
        rmse=_number(raw.get("rmse")),
        r2=_number(raw.get("r2")),
        aicc=_number(raw.get("aicc")),
        loo_rmse=_number(raw.get("loo_rmse")),
        n=_whole(raw.get("n")),
        n_clusters=_whole(raw.get("n_clusters")),
        warnings=tuple(str(warning) for warning in raw.get("warnings") or ()),
        curve=_curve(raw.get("curve")),
    )


def _curve(raw: Mapping[str, Any] | None) -> Curve | None:
    if not raw or not raw.get("x"):
        return None
    x = tuple(_number(value) for value in raw["x"])
    rest = {}
    for key in ("y", "low", "high"):
        values = tuple(_number(value) for value in raw.get(key) or ())
        if values and len(values) != len(x):
            raise ValueError(f"curve: 'x' has {len(x)} values but {key!r} has {len(values)}")
        rest[key] = values
    return Curve(x, **rest) if rest["y"] else None


def _intervals(raw: Mapping[str, Any] | None) -> dict[str, Interval]:
    return {
        str(name): Interval(_number(entry.get("value")), _number(entry.get("low")), _number(entry.get("high")))
        for name, entry in (raw or {}).items()
        if entry is not None
    }


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
