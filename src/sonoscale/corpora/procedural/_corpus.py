"""The procedural corpus: audio made on the fly, a function of the seed and the index."""

from __future__ import annotations

import json
import math
import operator
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.corpora.procedural import _espeak
from sonoscale.corpora.procedural._constraints import DOMAINS, Constraints, one_of
from sonoscale.corpora.procedural._environment import EVENTS
from sonoscale.corpora.procedural._instruments import INSTRUMENTS, UNPITCHED
from sonoscale.corpora.procedural._music import MATERIALS, PITCHES, perform
from sonoscale.corpora.procedural._random import SPLITS, Draw, stream
from sonoscale.corpora.procedural._room import record
from sonoscale.corpora.procedural._speech import say, vocabulary
from sonoscale.corpora.procedural._synthesis import SAMPLE_RATE, Wave
from sonoscale.errors import SonoscaleError

__all__ = ["LABELS", "VERSION", "ProceduralCorpus"]

# Changes whenever the audio of any clip changes.
VERSION = "1"

LABELS = ("domain", "language", "word", "instrument", "material", "pitch", "event")

_told_of_missing_speech = False


@dataclass(frozen=True)
class _Plan:
    """What a clip is to hold, before any sound is made."""

    domain: str
    language: str = ""
    concepts: tuple[str, ...] = ()
    instrument: str = ""
    material: str = ""
    pitch: str = ""
    event: str = ""


def _without_speech(domains: tuple[str, ...], constraints: Constraints) -> tuple[str, ...]:
    """The domains that can be made where eSpeak NG is missing; warns once."""
    global _told_of_missing_speech
    rest = tuple(domain for domain in domains if domain != "speech")
    if not rest or constraints.needs("speech"):
        raise SonoscaleError(f"procedural speech needs eSpeak NG: {_espeak.INSTALL}")
    if not _told_of_missing_speech:
        _told_of_missing_speech = True
        message = f"no speech in the procedural corpus, only {' and '.join(rest)}; for speech: {_espeak.INSTALL}"
        warnings.warn(message, UserWarning, stacklevel=3)
    return rest


class ProceduralCorpus:
    """Speech, music and environmental sound, synthesised clip by clip.

    Clip `i` depends on the seed, the split, the domains, the constraints, the clip length and `i`, and on
    nothing
    else: not on `clips`, the process, or the order of calls. So a corpus of more clips begins with the corpus
    of fewer. (Another version of NumPy, SciPy, soxr or eSpeak NG may change the last bits.)

    The splits `train` and `heldout` have the same distribution and no clip in common. `test` has other
    speakers and speaking rates, other ranges of the instruments' and events' parameters, and larger rooms.

    Arguments:
        split: 'train', 'heldout' or 'test'.
        clips: number of clips.
        seed: non-negative.
        seconds: length of every clip, more than 0.1.
        domains: which of 'speech', 'music' and 'environment', in equal shares in every prefix. Where eSpeak
            NG is not installed speech is left out, with a warning.
        fixed: constraints, by name: 'domain', 'language', 'word', 'words' (how many are spoken),
            'instrument', 'material', 'pitch', 'event'. A single value holds for all clips; of several, all
            have equal shares in every prefix, in an order that is random from block to block.

    Raises:
        SonoscaleError: an argument is out of its range, constraints contradict each other, or speech is asked
            for by itself or by a constraint and eSpeak NG is not installed.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        split: str = "train",
        clips: int = 4096,
        seed: int = 0,
        seconds: float = 2.0,
        domains: Sequence[str] = DOMAINS,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        one_of("split", split, SPLITS)
        if isinstance(clips, bool) or not isinstance(clips, int | np.integer) or clips < 1:
            raise SonoscaleError(f"clips={clips!r}: a whole number of at least 1 is needed")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise SonoscaleError(f"seed={seed!r}: a whole number of at least 0 is needed")
        if not 0.1 < seconds < math.inf:
            raise SonoscaleError(f"seconds={seconds!r}: a length of more than 0.1 is needed")
        if isinstance(domains, str) or not domains or len(set(domains)) != len(domains):
            raise SonoscaleError(f"domains={domains!r}: a sequence of different names is needed")
        for domain in domains:
            one_of("domain", domain, DOMAINS)
        constraints = Constraints.parse(fixed or {}, tuple(domains))
        used = constraints.values.get("domain", tuple(domains))
        if "speech" in used and not _espeak.speech_available():
            used = _without_speech(used, constraints)
        self.split = split
        self.clips = int(clips)
        self.seed = int(seed)
        self.seconds = float(seconds)
        self.domains = used
        self._constraints = constraints
        self._samples = round(seconds * SAMPLE_RATE)
        self._key = json.dumps([used, constraints.values], sort_keys=True)

    def __len__(self) -> int:
        return self.clips

    def __repr__(self) -> str:
        return (
            f"ProceduralCorpus(split={self.split!r}, clips={self.clips}, seed={self.seed}, "
            f"seconds={self.seconds}, domains={self.domains}, fixed={self._constraints.values})"
        )

    def wave(self, index: int) -> NDArray[np.float32]:
        """Synthesise a clip.

        Returns:
            float32 [samples] at `sample_rate`, mono, within [-1, 1].

        Raises:
            IndexError: there is no such clip.
            SonoscaleError: speech is to be made and eSpeak NG fails.
        """
        return self._record(index, self._draw(index))

    def samples(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Length of the clips at `indices`, int64."""
        return np.full(len(indices), self._samples, dtype=np.int64)

    def crop(self, index: int, start: int, stop: int) -> NDArray[np.float32]:
        """`wave(index)[start:stop]`; the whole clip is synthesised."""
        return self.wave(index)[start:stop]

    def labels(self, index: int) -> dict[str, str]:
        """What a clip holds, without synthesising it.

        Returns:
            domain; language (eSpeak NG's code); word (the concept in English, '' for a phrase); instrument;
            material (note, chord, melody, rhythm); pitch (such as 'C#4', single notes only); event. '' where
            a label does not apply.

        Raises:
            IndexError: there is no such clip.
        """
        plan = self._plan(index)
        return {
            "domain": plan.domain,
            "language": plan.language,
            "word": plan.concepts[0] if len(plan.concepts) == 1 else "",
            "instrument": plan.instrument,
            "material": plan.material,
            "pitch": plan.pitch,
            "event": plan.event,
        }

    def name(self, index: int) -> str:
        """A readable name of a clip, such as 'train-000012-speech'."""
        return f"{self.split}-{self._checked(index):06d}-{self._plan(index).domain}"

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the corpus's audio depends on, fit for JSON."""
        identity: dict[str, Any] = {
            "corpus": "procedural",
            "version": VERSION,
            "split": self.split,
            "clips": self.clips,
            "seed": self.seed,
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "domains": list(self.domains),
            "fixed": {key: list(values) for key, values in self._constraints.values.items()},
        }
        if "speech" in self.domains:
            identity["espeak"] = _espeak.version()
        return identity

    def _checked(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < self.clips:
            raise IndexError(f"clip {index} of a procedural corpus of {self.clips} clips")
        return index

    def _draw(self, index: int) -> Draw:
        rng = stream("sound", self.seed, self.split, self._key, self._checked(index))
        return Draw(rng, test=self.split == "test")

    def _turn(self, name: str, options: Sequence[Any], position: int) -> Any:
        """The option whose turn it is: each block of positions runs through all options in a random order."""
        if len(options) == 1:
            return options[0]
        block, place = divmod(position, len(options))
        rng = stream("order", self.seed, self.split, self._key, name, block)
        return options[int(rng.permutation(len(options))[place])]

    def _plan(self, index: int) -> _Plan:
        index = self._checked(index)
        if "domain" in self._constraints.values:
            domain = self._turn("domain", self.domains, index)
        else:
            domain = self.domains[index % len(self.domains)]
        position = index // len(self.domains)
        rng = stream("plan", self.seed, self.split, self._key, index)
        if domain == "speech":
            return self._plan_speech(rng, position)
        if domain == "music":
            return self._plan_music(rng, position)
        events = self._constraints.values.get("event", tuple(EVENTS))
        return _Plan("environment", event=self._turn("event", events, position))

    def _plan_speech(self, rng: np.random.Generator, position: int) -> _Plan:
        fixed, known = self._constraints.values, vocabulary()
        language = self._turn("language", fixed.get("language", tuple(known.languages)), position)
        if "word" in fixed:
            return _Plan("speech", language=language, concepts=(self._turn("word", fixed["word"], position),))
        if "words" in fixed:
            count = self._turn("words", fixed["words"], position)
        else:
            usual = max(2, round(1.7 * self.seconds))
            count = 1 if rng.random() < 0.4 else int(rng.integers(max(2, usual - 1), usual + 2))
        chosen = rng.choice(len(known.concepts), count, replace=count > len(known.concepts))
        return _Plan("speech", language=language, concepts=tuple(known.concepts[n] for n in chosen))

    def _plan_music(self, rng: np.random.Generator, position: int) -> _Plan:
        fixed = self._constraints.values
        pitched_only = "pitch" in fixed or bool({"chord", "melody"} & set(fixed.get("material", ())))
        every = tuple(name for name in INSTRUMENTS if not (pitched_only and name in UNPITCHED))
        instrument = self._turn("instrument", fixed.get("instrument", every), position)
        pitched = instrument not in UNPITCHED
        if "pitch" in fixed:
            material = "note"
        elif "material" in fixed:
            material = self._turn("material", fixed["material"], position)
        else:
            options = MATERIALS if pitched else ("note", "rhythm")
            material = options[int(rng.integers(len(options)))]
        pitch = ""
        if material == "note" and pitched:
            pitch = self._turn("pitch", fixed["pitch"], position) if "pitch" in fixed else PITCHES[rng.integers(24)]
        return _Plan("music", instrument=instrument, material=material, pitch=pitch)

    def _dry(self, plan: _Plan, draw: Draw) -> Wave:
        """The clip's sound before the room, float64 [samples]."""
        if plan.domain == "speech":
            return say(draw, plan.language, plan.concepts, self._samples)
        if plan.domain == "music":
            return perform(draw, plan.instrument, plan.material, plan.pitch, self._samples)
        return EVENTS[plan.event](draw, self._samples)

    def _record(self, index: int, draw: Draw) -> NDArray[np.float32]:
        return record(draw, self._dry(self._plan(index), draw))
