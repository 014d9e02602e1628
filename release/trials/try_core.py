"""Without any extra: fit, audit, plan, measure --embeddings; every other command names the extra that it lacks."""

import importlib.util
from pathlib import Path

import numpy as np

import sonoscale as so
from _common import sonoscale

for module in ("torch", "soundfile", "matplotlib", "altair", "vl_convert", "sklearn", "duckdb", "pandas"):
    assert importlib.util.find_spec(module) is None, f"{module} is no part of the core"

rng = np.random.default_rng(0)
lines = ["config,params,tokens,flops,rankme,loss"]
for i, (params, tokens) in enumerate((n, d) for n in np.geomspace(1e6, 1e8, 4) for d in np.geomspace(1e8, 1e10, 4)):
    for _ in range(2):
        rank = 20 * (params / 1e6) ** 0.3 * np.exp(0.02 * rng.normal())
        loss = 0.5 + 30 * params**-0.3 + 40 * tokens**-0.25 + 0.002 * rng.normal()
        lines.append(f"c{i},{params:.0f},{tokens:.0f},{6 * params * tokens:.5g},{rank:.5g},{loss:.6g}")
Path("runs.csv").write_text("\n".join(lines))
np.save("a.npy", rng.normal(size=(400, 32)).astype(np.float32))
np.save("b.npy", (rng.normal(size=(400, 32)) * np.geomspace(1, 0.05, 32)).astype(np.float32))

fitted = sonoscale("fit runs.csv --x params,tokens --y loss --clusters config --json laws.json")
assert "loss" in fitted
assert "rankme" in sonoscale("audit runs.csv --rank rankme --y loss --clusters config")
assert "params" in sonoscale("plan runs.csv --flops 1e19 --y loss --clusters config")
assert "rankme" in sonoscale("measure --embeddings a.npy b.npy --json records.json")

Path("run.yaml").write_text("data: {kind: procedural}")
Path("study.yaml").write_text("{name: tiny, data: {kind: procedural}, tasks: [{kind: procedural, name: event}]}")
Path("run").mkdir()
for command, extra in {
    "measure --embeddings a.npy --plot a.png": "report",
    "measure logmel: runs.csv": "train",
    "pretrain run.yaml": "train",
    "probe run --task tasks/a": "train|audio",
    "export run --to hear --out there": "train|audio",
    "study run study.yaml": "train",
    "data preview --out there": "report",
    "data describe .": "audio",
}.items():
    reported = sonoscale(command, status=1)
    assert any(f"pip install 'sonoscale[{one}]'" in reported for one in extra.split("|")), f"{command}: {reported}"

assert 10 < so.rankme(np.load("a.npy")).value < 32
try:
    so.load_encoder("logmel:")
    reported = "an encoder without torch"
except so.SonoscaleError as error:
    reported = str(error)
assert "pip install 'sonoscale[train]'" in reported, reported
print("fit, audit, plan, measure --embeddings; the others name the extra that they need")
