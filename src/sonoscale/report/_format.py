"""Numbers and names, written for people."""

from __future__ import annotations

import math

from sonoscale.report._model import Interval

__all__ = [
    "count",
    "decimal",
    "duration",
    "flops",
    "hours",
    "interval",
    "join",
    "label_of",
    "name_of",
    "plural",
    "significant",
]

_NAMES = {
    "quality": "quality",
    "rankme": "RankMe",
    "rankme_centred": "RankMe (centred)",
    "params": "encoder parameters",
    "examples_seen": "examples seen",
    "train_clips": "training clips",
    "mask_ratio": "mask ratio",
    "hours_seen": "hours of audio seen",
    "train_hours": "hours of training audio",
    "flops": "training FLOPs",
    "loss": "held-out loss",
}
UNKNOWN = "–"


def name_of(column: str) -> str:
    """A column of the ledger in words; `log COLUMN` too."""
    if column.startswith("log "):
        return f"log {name_of(column[4:])}"
    return _NAMES.get(column, column.replace("_", " "))


def label_of(column: str) -> str:
    """A column of any table in words: as `name_of`, but for what only a study's ledger means by it."""
    return {"loss": "loss", "params": "parameters", "flops": "FLOPs"}.get(column) or name_of(column)


def count(value: float) -> str:
    """1234567 -> "1.2M"; three significant digits at most."""
    if not math.isfinite(value):
        return UNKNOWN
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.1f}{letter}" if abs(scaled) < 99.95 else f"{scaled:.0f}{letter}"
    return f"{value:g}" if value == round(value) else f"{value:.3g}"


def flops(value: float) -> str:
    """5.61e+12 -> "5.6e12"."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def hours(value: float) -> str:
    """3.42 -> "3.4 h"; under six minutes in seconds, under one hour in minutes."""
    return duration(value * 3600.0)


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: "42 s", "12 min", "3.4 h", "120 h"."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 360:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 99.95 * 3600 else f"{seconds / 3600:.0f} h"


def decimal(value: float, places: int = 3) -> str:
    """A fixed number of decimals, with a true minus sign; very small and very large values as powers."""
    if not math.isfinite(value):
        return UNKNOWN
    value = 0.0 if abs(value) < 1e-12 else value  # what is left of a difference of equal numbers
    if value != 0 and not 10.0 ** (-places - 1) <= abs(value) < 1e5:
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", "−")
    return f"{value:.{places}f}".replace("-", "−")


def significant(value: float, digits: int = 4) -> str:
    """So many significant digits: "10.80", "0.01234", "48", "48,123"; with a true minus sign, or "infinite"."""
    if math.isinf(value):
        return "infinite" if value > 0 else "−infinite"
    if math.isnan(value):
        return UNKNOWN
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return decimal(value)
    whole = value == round(value) or abs(value) >= 10 ** (digits - 1)
    return (f"{value:,.0f}" if whole else f"{value:#.{digits}g}".rstrip(".")).replace("-", "−")


def interval(value: Interval | None, places: int = 3) -> str:
    """ "0.210 [0.150, 0.270]", or the value alone where the interval is unknown."""
    if value is None or not math.isfinite(value.value):
        return UNKNOWN
    text = decimal(value.value, places)
    if not value.bounded:
        return text
    return f"{text} [{decimal(value.low, places)}, {decimal(value.high, places)}]"


def plural(number: int, noun: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def join(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
