"""The built-in corpus: speech, music and environmental sound made on the fly, without end, and labelled.

A clip's way: `_corpus` plans it (`_constraints` say what is allowed); `_speech` over `_espeak`, `_music` over
`_instruments` (`_struck`, `_sustained`), or `_environment` (`_nature`, `_impacts`, `_machines`, `_animals`)
makes its sound out of the elements in `_synthesis`; `_room` records it. `_tasks` cuts labelled tasks from it.
"""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.corpora.procedural._corpus import ProceduralCorpus
    from sonoscale.corpora.procedural._espeak import speech_available
    from sonoscale.corpora.procedural._tasks import TASKS, ProceduralTask

__all__ = ["TASKS", "ProceduralCorpus", "ProceduralTask", "speech_available"]

__getattr__ = lazy(__name__)
