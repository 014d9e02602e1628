"""Damaged and forged files for the readers of runs, checkpoints, studies, tables and configurations; see `fuzz.py`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_data import Attack, folder_of_audio
from mutate import ODD, mutated, mutated_json, mutated_text
from sonoscale.errors import SonoscaleError

RUN = {
    "data": {"kind": "procedural", "clips": 16, "heldout_clips": 32, "seconds": 0.5, "domains": ["music"]},
    "encoder": {"backbone": "vit", "width": 8, "depth": 1},
    "objective": {"kind": "mae"},
    "train": {"clip_seconds": 0.5, "batch_size": 8, "budgets": [2, 3], "warmup_steps": 0, "rank_points": 2,
              "checkpoint_minutes": 0, "precision": "fp32"},
}  # fmt: skip


def trained(base: Path, **changes: Any) -> Any:
    """A small run; single-threaded, so that it is the same bit for bit."""
    from sonoscale.pretrain import pretrain
    from sonoscale.processes import single_threaded

    single_threaded()
    run = {**RUN, "train": {**RUN["train"], **changes}}
    return pretrain(run, base / "runs", cache=base / "cache", device="cpu", logger="none", workers=1)


def forged_tensors(content: Any, rng: random.Random) -> Any:
    """What a file of torch holds, with odd values, shapes and types in the place of some."""
    import torch

    places = []

    def walk(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            places.append((value, key))
            walk(inner)

    walk(content)
    for _ in range(rng.choice([1, 1, 3])):
        holder, key = rng.choice(places)
        odd = rng.choice([
            torch.zeros(()), torch.zeros(0), torch.full((3, 3), float("nan")), torch.zeros(2, 2, dtype=torch.int8),
            torch.zeros(4, dtype=torch.complex64), torch.empty(2, 3).to_sparse(), *ODD,
        ])  # fmt: skip
        holder[key] = odd
    return rng.choice([torch.zeros(3), [], 1, {"config": 1}]) if rng.random() < 0.05 else content


def checkpoints(base: Path) -> Attack:
    import torch

    from sonoscale.encoders import load_encoder
    from sonoscale.export._source import read_trained
    from sonoscale.pretrain._prepare import training_audio

    run = trained(base).folder
    whole = torch.load(run / "checkpoint.pt", weights_only=True)
    wave = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32))
    with torch.inference_mode():
        right = load_encoder(str(run)).embed(wave)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "run"
        shutil.copytree(run, place)
        file = place / "checkpoint.pt"
        forged = rng.random() < 0.4
        if forged:
            file.unlink()
            (place / "record.json").unlink()
            copied = torch.load(io.BytesIO((run / "checkpoint.pt").read_bytes()), weights_only=True)
            made = forged_tensors(copied, rng)
            if isinstance(made, dict) and rng.random() < 0.5:
                made["config"] = mutated_json(whole["config"], rng)
            torch.save(made, file)
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))
        spec = str(file if forged else place)

        def read() -> None:
            for look in (read_trained, training_audio):
                try:
                    look(Path(spec))
                except SonoscaleError:
                    continue
            encoder = load_encoder(spec)
            with torch.inference_mode():
                found = encoder.embed(wave)
            assert forged or torch.equal(found, right), "other numbers"

        return read

    return attack


def run_records(base: Path) -> Attack:
    from sonoscale.digests import write_sealed
    from sonoscale.export._card import card
    from sonoscale.export._source import read_trained
    from sonoscale.pretrain import Run, check_run, read_record

    run = trained(base).folder
    whole = read_record(run)
    assert whole is not None

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "run"
        shutil.copytree(run, place)
        file = place / "record.json"
        forged = rng.random() < 0.6
        if forged:
            made = mutated_json(whole, rng)
            if isinstance(made, dict):
                write_sealed(file, made)
            else:
                file.write_text(json.dumps(made))
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))

        def read() -> None:
            record = read_record(place)
            assert record is not None
            found = Run(place, record)
            _ = found.headline, found.rows(), repr(found), found.to_json(), found._repr_html_()
            check_run(place, thorough=True)
            assert forged or record == whole, "other values"
            card(read_trained(place), title="x", use="")

        return read

    return attack


def states(base: Path) -> Attack:
    """`state.pt` of a run that was interrupted, and `trunk.pt` of one that another continues."""
    import torch

    from sonoscale.pretrain import pretrain

    class StoppedError(Exception):
        pass

    def stop(stage: str, done: int, total: int, loss: float) -> None:
        if stage == "train" and done >= 2:
            raise StoppedError

    trained(base)
    config = {**RUN, "train": {**RUN["train"], "budgets": [2, 4]}}
    right = trained(base / "right", budgets=[2, 4]).record["budgets"]
    given: dict[str, Any] = {"cache": base / "cache", "device": "cpu", "logger": "none", "workers": 1}
    with contextlib.suppress(StoppedError):
        pretrain(config, base / "begun", progress=stop, **given)
    sources = {"state.pt": base / "begun", "trunk.pt": base / "runs"}

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        name = rng.choice(list(sources))
        shutil.copytree(sources[name], folder / "runs")
        (file,) = (folder / "runs").glob(f"**/{name}")
        forged = rng.random() < 0.4
        if forged:
            torch.save(forged_tensors(torch.load(file, weights_only=True), rng), file)
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))

        def read() -> None:
            found = pretrain(config, folder / "runs", **given).record["budgets"]
            same = [(b["step"], b["loss"], b["rank"]["value"]) for b in found]
            assert forged or same == [(b["step"], b["loss"], b["rank"]["value"]) for b in right], "other numbers"

        return read

    return attack


STUDY = """
name: tiny
data: {kind: procedural, clips: 24, heldout_clips: 32, seconds: 0.5, domains: [music]}
encoder: {backbone: vit, width: 8, depth: 1}
objective: {kind: mae}
train: {clip_seconds: 0.5, batch_size: 8, budgets: [2, 4], warmup_steps: 0, rank_points: 2, precision: fp32}
sweep: {encoder.width: [8, 12, 16]}
seeds: [0]
law: {bootstrap: 100}
protocols: [linear]
readouts: [mean, mean+std]
workers: 1
tasks:
  - {kind: procedural, name: instrument, train_clips: 20, valid_clips: 10, test_clips: 10}
"""


def a_study(base: Path) -> Path:
    """A study that was run; with a run that failed."""
    from sonoscale.study import study

    (base / "study.yaml").write_text(STUDY)
    made = study(base / "study.yaml", out=base / "out", cache=base / "cache")
    made.run(device="cpu", workers=1)
    return base / "out"


def studies(base: Path) -> Attack:
    """Every file that a study keeps."""
    from sonoscale.laws import quality, read_runs
    from sonoscale.report._load import load_study
    from sonoscale.study import status, study, verify
    from sonoscale.study._failures import note_failure

    whole = a_study(base)
    note_failure(whole, "0" * 12, "a run", 0, "error", "it failed", retries=0)
    files = [f for f in sorted(whole.rglob("*")) if f.suffix in (".json", ".yaml", ".npz", ".parquet") and f.is_file()]
    names = [f.relative_to(whole).as_posix() for f in files]
    names = [name for name in names if not name.startswith("figures")]

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "out"
        shutil.copytree(whole, place, ignore=shutil.ignore_patterns("*.png", "*.html"))
        file = place / rng.choice(names)
        if file.suffix == ".json" and rng.random() < 0.7:
            made = mutated_json(json.loads(file.read_text()), rng)
            file.write_text(json.dumps(made))
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))
        again = rng.random() < 0.1

        def read() -> None:
            problems = []

            def rerun() -> None:
                study(base / "study.yaml", out=place, cache=base / "cache").run(device="cpu", workers=1)

            looks: list[Callable[[], object]] = [
                lambda: repr(status(place)), lambda: repr(verify(place)), lambda: repr(quality(place)),
                lambda: load_study(place), lambda: read_runs(place), *([rerun] if again else []),
            ]  # fmt: skip
            for look in looks:
                try:
                    look()
                except SonoscaleError as error:
                    problems.append(error)
            if problems:
                raise problems[0]

        return read

    return attack


def ledgers(base: Path) -> Attack:
    """The ledger of a study; what is read of it must be what was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sonoscale.laws import read_runs
    from sonoscale.study import study
    from sonoscale.study._ledger import read_ledger

    whole = a_study(base) / "ledger.parquet"
    right = read_ledger(whole).table
    table = pq.read_table(whole)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        file = folder / "out" / "ledger.parquet"
        file.parent.mkdir()
        forged = rng.random() < 0.3
        if forged:  # without the digests
            name = rng.choice(table.column_names)
            odd: Any = pa.array(
                [rng.choice([v for v in ODD if isinstance(v, (str, float)) and v != "\udce9"])] * table.num_rows
            )
            pq.write_table(table.set_column(table.column_names.index(name), name, odd), file)
        else:
            file.write_bytes(mutated(whole.read_bytes(), rng))

        def read() -> None:
            if not forged:
                assert read_ledger(file).table.equals(right), "other values"
            runs = read_runs(file.parent)
            _ = repr(runs), runs.counts
            study(file, cache=base / "cache")

        return read

    return attack


RUN_TABLE = "params,hours,loss,config,seed\n" + "".join(
    f"{n},{h},{3 + 50 * n**-0.3 + 2 / h:.6f},c{n}-{h},{s}\n"
    for n in (10_000, 100_000, 1_000_000)
    for h in (1, 10, 100)
    for s in (0, 1)
)


def tables_of_runs(base: Path) -> Attack:
    import pandas
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sonoscale.laws import fit, read_runs

    frame = pandas.read_csv(io.StringIO(RUN_TABLE))
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame), out)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        kind = rng.choice(["csv", "tsv", "parquet"])
        if kind == "parquet":
            content = mutated(out.getvalue(), rng)
        else:
            content = mutated_text(RUN_TABLE.replace(",", "\t") if kind == "tsv" else RUN_TABLE, rng)
        file = folder / f"runs.{kind}"
        file.write_bytes(content)
        fits = rng.random() < 0.1

        def read() -> None:
            runs = read_runs(file)
            _ = repr(runs), runs.counts, runs.target().words
            if fits:
                _ = repr(fit(file, ["params", "hours"], y="loss", form="power2", bootstrap=80))

        return read

    return attack


def configurations(base: Path) -> Attack:
    import yaml

    from sonoscale.config import load_config
    from sonoscale.pretrain import RunConfig
    from sonoscale.study._config import StudyConfig

    run = yaml.safe_dump(RUN, sort_keys=False)
    deep = ["[" * n + "]" * n for n in (50, 500, 50_000)] + ["{a: " * n + "1" + "}" * n for n in (50, 500, 50_000)]
    deep += ["\n".join("  " * i + "a:" for i in range(2000)), "a: &a [*a]", "a: &a {b: *a}", "? [a]\n: 1"]
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        model, text = rng.choice([(RunConfig, run), (StudyConfig, STUDY)])
        file = folder / "c.yaml"
        kind = rng.random()
        if kind < 0.5:
            file.write_bytes(mutated_text(text, rng))
        elif kind < 0.9:
            file.write_text(json.dumps(mutated_json(yaml.safe_load(text), rng)))
        else:
            file.write_text(rng.choice([*deep, bomb, text + "\nextra: " + rng.choice(deep)]))
        override = rng.choice([[], [], ["encoder.width=" + rng.choice(deep)], ["seed=!!python/object:os.system x"]])
        return lambda: load_config(model, file, override)

    return attack


def embedding_caches(base: Path) -> Attack:
    """What `probe` keeps of encoders and tasks."""
    from sonoscale.corpora import FileCorpus
    from sonoscale.encoders import load_encoder
    from sonoscale.probe._cache import embed_once
    from sonoscale.probe._overlap import content_hashes

    corpus, encoder = FileCorpus.from_folder(folder_of_audio(base / "audio")), load_encoder("logmel")
    right = embed_once(encoder, ["mean"], corpus, base / "kept")["mean"].rows
    hashes = content_hashes(corpus, base / "kept")

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "kept"
        shutil.copytree(base / "kept", place)
        file = rng.choice(sorted(place.iterdir()))
        file.write_bytes(mutated(file.read_bytes(), rng))

        def read() -> None:
            np.testing.assert_array_equal(embed_once(encoder, ["mean"], corpus, place)["mean"].rows, right)
            np.testing.assert_array_equal(content_hashes(corpus, place), hashes)

        return read

    return attack


def transformers_folders(base: Path) -> Attack:
    import torch
    import transformers

    from sonoscale.encoders import load_encoder

    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        vocab_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Wav2Vec2Model(config).save_pretrained(base / "model")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(base / "model")
    wave = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32))

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "model"
        shutil.copytree(base / "model", place)
        file = rng.choice(sorted(place.iterdir()))
        if file.suffix == ".json" and rng.random() < 0.7:
            file.write_text(json.dumps(mutated_json(json.loads(file.read_text()), rng)))
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))

        def read() -> None:
            with torch.inference_mode():
                load_encoder(f"hf:{place}").embed(wave)

        return read

    return attack


def saved_data_sets(base: Path) -> Attack:
    """Hugging Face data sets in a folder."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets

    from sonoscale.corpora import open_corpus

    datasets.disable_progress_bars()
    audio = folder_of_audio(base / "audio")
    rows = {"audio": [str(audio / f"{i}.wav") for i in range(6)], "label": [0, 1, 0, 1, 0, 1]}
    data = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    data = data.cast_column("label", datasets.ClassLabel(names=["a", "b"]))
    data = data.map(lambda row: {"audio": {"bytes": Path(row["audio"]["path"]).read_bytes(), "path": None}})
    data.save_to_disk(base / "set")

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "set"
        shutil.copytree(base / "set", place)
        file = rng.choice(sorted(place.iterdir()))
        if file.suffix == ".json" and rng.random() < 0.7:
            file.write_text(json.dumps(mutated_json(json.loads(file.read_text()), rng)))
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))

        def read() -> None:
            corpus = open_corpus(f"hf:{place}")
            for i in range(min(len(corpus), 20)):
                _ = corpus.wave(i), corpus.row(i)

        return read

    return attack


def exports(base: Path) -> Attack:
    """The list of files by which an export is known when it is to be replaced."""
    from sonoscale.digests import read_sealed, write_sealed
    from sonoscale.export import export
    from sonoscale.export._export import MANIFEST, _check_place

    run = trained(base).folder
    made = export(run, "xares", base / "export").folder
    whole = read_sealed(made / MANIFEST, "it")

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "export"
        shutil.copytree(made, place)
        (place / "mine.txt").write_text("mine")
        file = place / MANIFEST
        made_up = mutated_json(whole, rng)
        if isinstance(made_up, dict) and rng.random() < 0.6:
            write_sealed(file, made_up)
        else:
            file.write_bytes(mutated(file.read_bytes(), rng))

        def read() -> None:
            _check_place(place, run, force=True)
            raise AssertionError("would replace what is no export")

        return read

    return attack


RUNS: dict[str, Callable[[Path], Attack]] = {
    "checkpoints": checkpoints,
    "run records": run_records,
    "states of runs": states,
    "studies": studies,
    "ledgers": ledgers,
    "tables of runs": tables_of_runs,
    "configurations": configurations,
    "embedding caches": embedding_caches,
    "transformers folders": transformers_folders,
    "saved data sets": saved_data_sets,
    "exports": exports,
}
