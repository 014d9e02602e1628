"""The registered questions, H1 to H11, each answered from the table: a row of findings, and what it rests on."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from fitting import Answer
from law_of_rank import h1, h2, h3, h11
from planning import h8, h9, h10
from proxy import h4, h5, h6, h7
from table import Table

import sonoscale as so

__all__ = ["QUESTIONS", "Answer", "answers"]


QUESTIONS: dict[str, Callable[[Table, int], Answer]] = {
    "H1": h1, "H2": h2, "H3": h3, "H4": h4, "H5": h5, "H6": h6, "H7": h7, "H8": h8, "H9": h9, "H10": h10, "H11": h11,
}  # fmt: skip


def answers(table: Table, seed: int = 0) -> dict[str, Answer]:
    """All of them; one that the data cannot answer yet says why."""
    found = {}
    for name, ask in QUESTIONS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = ask(table, seed)
        except so.SonoscaleError as error:
            found[name] = Answer(name, f"Cannot be answered from these runs: {error}")
    return found
