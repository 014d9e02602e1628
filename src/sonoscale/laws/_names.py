"""What columns mean by their names, in one place: sizes, scores, losses, configurations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = [
    "CONFIGURATIONS",
    "LOSSES",
    "QUALITIES",
    "SEEDS",
    "SIZES",
    "counts",
    "find_sizes",
    "is_bounded",
    "is_error_rate",
    "is_loss",
    "is_score",
    "is_size",
    "more_is_better",
]

SIZES: Mapping[str, tuple[str, ...]] = {
    "parameters": ("params", "n_params", "num_params", "parameters", "N", "num_parameters",
                   "n_parameters", "model_size"),
    "data": ("train_hours", "train_clips", "hours", "tokens", "clips", "samples", "D", "n_tokens", "num_tokens",
             "train_tokens", "training_tokens", "training_hours", "n_samples", "num_samples", "dataset_size"),
    "data seen": ("examples_seen", "clips_seen", "hours_seen", "tokens_seen", "samples_seen"),
    "compute": ("flops", "compute", "flops_encoder", "C", "train_flops", "training_flops"),
}  # fmt: skip
"""Of each kind of size, the columns that hold it; the first that a table has counts. Words in any case of letters."""

LOSSES = ("loss", "train_loss", "valid_loss", "val_loss")
"""Columns of the loss of pre-training, the first that a table has. Words in any case of letters."""

QUALITIES = ("quality", "score", "accuracy", "loss")
"""Columns that are y where none is named, the first that a table has."""

CONFIGURATIONS = ("config", "run", "model", "encoder", "name")
"""Columns that often name the configuration of a row."""

SEEDS = ("seed", "random_seed", "seeds")
"""Columns of the seed: rows that are alike but for it are one configuration."""

_MORE = re.compile(
    r"score|quality|accurac|(^|[^a-z])(acc|top1|top5|f1|map|auc|auroc|recall|precision|mrr|ndcg|correct)s?($|[^a-z])"
)
_LESS = re.compile(r"loss|error|perplexity|(^|[^a-z])(err|wer|cer|eer|ppl|nll|mse|rmse|mae|bpb)s?($|[^a-z])")
_SCORE = re.compile(
    r"(^|[^a-z])(score|quality|acc|accuracy|err|error|top1|top5|f1|map|auc|auroc|eer|wer|cer|recall|precision|percent)"
    r"s?($|[^a-z])"
)
_BOUNDED = re.compile(
    r"(^|[^a-z])(score|acc|accuracy|top1|top5|f1|map|auc|auroc|recall|precision)s?($|[^a-z])"
    r"|gsm8k|mmlu|hellaswag|winogrande|boolq|piqa|humaneval|mbpp|triviaqa"
)
_RATE = re.compile(r"(^|[^a-z])(err|error|eer)s?($|[^a-z])")
_NO_RATE = re.compile(r"square|mse|mae|rmse|abs|recon|predict|quant|standard|std")
_UNBOUNDED = re.compile(r"rank|param|token|flop|hour|clip|sample|compute|step|width|depth|seconds|dim($|[^a-z])")

_SIZE = re.compile(r"param|token|flop|hour|clip|sample|compute")


def more_is_better(name: str) -> bool | None:
    """True where the name is that of a score (accuracy, mAP, F1, ...), false of a loss or an error, None of neither."""
    more, less = (bool(pattern.search(name.lower())) for pattern in (_MORE, _LESS))
    return None if more == less else more


def is_score(name: str) -> bool:
    """Whether a column is called a score, or an error that is one less a score."""
    return _SCORE.search(name.lower()) is not None


def is_bounded(name: str) -> bool | None:
    """Whether a score of this name has a top (1 or 100): None where the name does not say."""
    if _BOUNDED.search(name.lower()):
        return True
    return False if counts(name) else None


def is_error_rate(name: str) -> bool:
    """Whether a column of which less is better is one less a score by its name: an error rate, at most 1 (or 100)."""
    lower = name.lower()
    return (_BOUNDED.search(lower) or _RATE.search(lower)) is not None and _NO_RATE.search(lower) is None


def counts(name: str) -> bool:
    """Whether a column counts something, so that it has no ceiling: parameters, hours, a rank."""
    return _UNBOUNDED.search(name.lower()) is not None


def is_size(name: str) -> bool:
    """Whether a column counts parameters, data or compute, which are all above zero."""
    return _SIZE.search(name.lower()) is not None


def is_loss(name: str) -> bool:
    """Whether a column is called a loss."""
    return "loss" in name.lower()


def find_sizes(names: Iterable[str], *, besides: Iterable[str | None] = ()) -> dict[str, str]:
    """Kind of size -> column, for the kinds that a table with these columns has."""
    taken = set(besides)
    present = {str(n) if len(str(n)) == 1 else str(n).lower(): str(n) for n in names if n not in taken}
    found: dict[str, str] = {}
    for kind, candidates in SIZES.items():
        first = next((present[name] for name in candidates if name in present), None)
        if first is not None:
            found[kind] = first
    return found
