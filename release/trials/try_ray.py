"""A measurement spread over a Ray cluster on this machine."""

from _common import sonoscale, tones

tones("clips")
assert "rankme" in sonoscale("measure logmel: clips --executor ray")
print("measure --executor ray")
