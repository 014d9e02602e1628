"""Labelled tasks cut from the procedural corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sonoscale.corpora.procedural._constraints import DOMAINS
from sonoscale.corpora.procedural._corpus import ProceduralCorpus
from sonoscale.corpora.procedural._environment import EVENTS
from sonoscale.corpora.procedural._instruments import INSTRUMENTS
from sonoscale.corpora.procedural._music import PITCHES
from sonoscale.corpora.procedural._speech import vocabulary

__all__ = ["TASKS", "ProceduralTask"]


@dataclass(frozen=True)
class ProceduralTask:
    """A classification task on procedural audio.

    Arguments:
        name: the task's key in `TASKS`.
        label: the column of `ProceduralCorpus.labels` that is to be predicted.
        domains: domains of the clips.
        classes: values of the label, in equal shares in every prefix of the task's corpus.
        fixed: further constraints on the clips.
        description: one line for people.
    """

    name: str
    label: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    description: str
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def corpus(self, split: str, clips: int, seed: int = 0, seconds: float = 2.0) -> ProceduralCorpus:
        """The task's clips.

        Arguments:
            split: 'train', 'heldout' or 'test'.
            clips: number of clips.
            seed: non-negative.
            seconds: length of every clip.

        Raises:
            SonoscaleError: as `ProceduralCorpus` does; also when the task has speech and eSpeak NG is
            missing.
        """
        return ProceduralCorpus(split, clips, seed, seconds, self.domains, dict(self.fixed))


def _task(
    name: str, domains: tuple[str, ...], classes: tuple[str, ...], description: str, **fixed: Any
) -> ProceduralTask:
    constraints = {name: classes, **fixed}
    return ProceduralTask(name, name, domains, classes, description, constraints)


TASKS: dict[str, ProceduralTask] = {
    task.name: task
    for task in (
        _task("word", ("speech",), vocabulary().concepts, "which English word is spoken", language="en"),
        _task(
            "language",
            ("speech",),
            ("en", "de", "es", "fr", "pl", "tr", "fi", "cmn"),
            "which language a phrase is in",
            words=(3, 4, 5),
        ),
        _task("instrument", ("music",), tuple(INSTRUMENTS), "which family of instruments plays"),
        _task("pitch", ("music",), PITCHES, "which pitch a single note has"),
        _task("event", ("environment",), tuple(EVENTS), "what makes the sound"),
        _task("domain", DOMAINS, DOMAINS, "speech, music or environmental sound"),
    )
}
