"""The voice of the procedural corpus, without torch."""

import importlib.util

from sonoscale.corpora.procedural import ProceduralCorpus, speech_available

assert importlib.util.find_spec("torch") is None
assert speech_available()
corpus = ProceduralCorpus(clips=2, seconds=1.0, domains=["speech"])
assert abs(corpus.wave(0)).max() > 0.01
print("procedural speech")
