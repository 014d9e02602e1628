"""Damaged and forged files for the readers of audio, corpora and embeddings; `fuzz.py` runs them."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mutate import mutated, mutated_json, mutated_text
from sonoscale.errors import SonoscaleError

RATE = 16_000


def wave(seed: int, seconds: float = 0.3) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(RATE * seconds))).astype(np.float32)


def encoded(form: str, subtype: str | None = None, seed: int = 0) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave(seed), RATE, format=form, subtype=subtype)
    return out.getvalue()


def folder_of_audio(folder: Path, clips: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(clips):
        (folder / f"{i}.wav").write_bytes(encoded("WAV", "PCM_16", i))
    return folder


Attack = Callable[[random.Random, Path], Callable[[], object]]
"""Writes one case into an empty folder, and gives what reads it."""


def damaged_copy(whole: Path, folder: Path, rng: random.Random, names: list[str] | None = None) -> Path:
    """A copy of a folder with one of its files damaged."""
    place = folder / whole.name
    shutil.copytree(whole, place)
    file = place / rng.choice(names or sorted(f.name for f in whole.iterdir()))
    content = file.read_bytes()
    file.write_bytes(mutated(content, rng))
    return place


def log_mels(base: Path) -> Attack:
    from sonoscale.audio import LogMelConfig
    from sonoscale.corpora import FeatureStore, FileCorpus, build_features
    from sonoscale.digests import read_sealed, write_sealed

    corpus = FileCorpus.from_folder(folder_of_audio(base / "audio"))
    store = build_features(corpus, LogMelConfig(), base / "cache")
    whole = np.array(store.frames)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        if rng.random() < 0.3:
            place = folder / store.folder.name
            shutil.copytree(store.folder, place)
            meta = mutated_json(read_sealed(place / "meta.json", "it"), rng)
            if isinstance(meta, dict):
                write_sealed(place / "meta.json", meta)
            else:
                (place / "meta.json").write_text(json.dumps(meta))
        else:
            place = damaged_copy(store.folder, folder, rng)

        def read() -> None:
            rebuilt = rng.random() < 0.3
            found = build_features(corpus, LogMelConfig(), folder) if rebuilt else FeatureStore.open(place)
            np.testing.assert_array_equal(found.frames, whole)
            found.statistics()

        return read

    return attack


def packs(base: Path) -> Attack:
    from sonoscale.corpora import FileCorpus
    from sonoscale.corpora._pack import pack_corpus
    from sonoscale.corpora._packed import PackedCorpus
    from sonoscale.digests import read_sealed, write_sealed

    made = pack_corpus(FileCorpus.from_folder(folder_of_audio(base / "audio")), base / "pack", shard_mb=1)
    waves = [made.wave(i) for i in range(len(made))]

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        forged = rng.random() < 0.4
        if forged:
            place = folder / "pack"
            shutil.copytree(base / "pack", place)
            meta = mutated_json(read_sealed(place / "sonoscale-pack.json", "it"), rng)
            write_sealed(place / "sonoscale-pack.json", meta if isinstance(meta, dict) else {"a": meta})
        else:
            place = damaged_copy(base / "pack", folder, rng)

        def read() -> None:
            found = PackedCorpus.open(place)
            assert isinstance(found.identity, dict)
            _ = found.skipped, found.hours, [found.row(i) for i in range(len(found))]
            for i in range(len(found)):
                given = found.wave(i)
                assert forged or np.array_equal(given, waves[i])

        return read

    return attack


def journals(base: Path) -> Attack:
    from sonoscale.corpora import FileCorpus
    from sonoscale.corpora._pack import pack_corpus

    corpus = FileCorpus.from_folder(folder_of_audio(base / "audio", 24))
    whole = pack_corpus(corpus, base / "whole", shard_mb=1).identity

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        pack_corpus(corpus, base / "half", shard_mb=1, progress=stop)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = damaged_copy(base / "half", folder, rng, [".journal.jsonl"])

        def read() -> None:
            assert pack_corpus(corpus, place, shard_mb=1).identity == whole

        return read

    return attack


def tables(base: Path) -> Attack:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sonoscale.corpora import open_corpus

    audio = folder_of_audio(base / "audio")
    rows = [{"path": f"{i}.wav", "start": 0.0, "end": 0.2, "label": f"l{i}"} for i in range(6)]
    text = "path,start,end,label\n" + "".join(f"{i}.wav,0.0,0.2,l{i}\n" for i in range(6))
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        kind = rng.choice(["csv", "tsv", "jsonl", "json", "parquet", "made.parquet"])
        if kind in ("csv", "tsv"):
            content = mutated_text(text.replace(",", "\t") if kind == "tsv" else text, rng)
        elif kind == "parquet":
            content = mutated(out.getvalue(), rng)
        elif kind == "made.parquet":
            odd = {str(k): pa.array([v] * 3) for k, v in [("path", "0.wav"), (rng.choice(["", "start", "\0"]), 1e308)]}
            made = io.BytesIO()
            pq.write_table(pa.table(odd), made)
            content = made.getvalue()
        else:
            values = mutated_json(rows, rng)
            lines = values if kind == "jsonl" and isinstance(values, list) else [values]
            content = "\n".join(map(json.dumps, lines)).encode()
            content = mutated(content, rng) if rng.random() < 0.3 else content
        file = folder / f"list.{kind}"
        file.write_bytes(content)

        def read() -> None:
            corpus = open_corpus(file, audio_root=audio)
            for i in range(min(len(corpus), 20)):
                corpus.wave(i)
                _ = corpus.name(i), corpus.row(i), corpus.seconds(i), corpus.group(i)
            assert isinstance(corpus.identity, dict)

        return read

    return attack


def hear_tasks(base: Path) -> Attack:
    from sonoscale.corpora import open_corpus

    task = base / "task"
    folder_of_audio(task / "16000" / "train", 4)
    (task / "task_metadata.json").write_text(json.dumps({"task_name": "toy", "embedding_type": "scene"}))
    (task / "train.json").write_text(json.dumps({f"{i}.wav": [f"l{i}"] for i in range(4)}))

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        place = folder / "task"
        shutil.copytree(task, place)
        file = place / rng.choice(["task_metadata.json", "train.json"])
        if rng.random() < 0.5:
            file.write_bytes(mutated(file.read_bytes(), rng))
        else:
            file.write_text(json.dumps(mutated_json(json.loads(file.read_text()), rng)))

        def read() -> None:
            corpus = open_corpus(place, kind="hear")
            for i in range(len(corpus)):
                _ = corpus.wave(i), corpus.row(i)

        return read

    return attack


RECIPES = """toy:
  title: "Toy"
  homepage: https://example.org/toy
  licence: CC BY 4.0
  citation: "Toy et al."
  files:
    - url: https://example.org/toy.tar.gz
      checksum: md5:5b3d6dddb579ab49814ab86dba69e7c7
      size: 1225571541
      part: train
    - {zenodo: "77", match: "*.tar", into: task, unpack: false}
    - url: [https://example.org/a.zip, http://example.com/b.zip]
      name: c.zip
"""


def recipes(base: Path) -> Attack:
    import yaml

    from sonoscale.corpora import load_recipes

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        file = folder / "recipes.yaml"
        if rng.random() < 0.5:
            file.write_bytes(mutated_text(RECIPES, rng))
        else:
            file.write_text(json.dumps(mutated_json(yaml.safe_load(RECIPES), rng)))

        def read() -> None:
            for name, recipe in load_recipes(file).items():
                _ = name, recipe.about, recipe.summary(), recipe.parts, [f.place for f in recipe.files]

        return read

    return attack


def answers(base: Path) -> Attack:
    """A server that may say anything."""
    import http.server
    import threading

    from sonoscale.corpora._download import Patience
    from sonoscale.corpora._fetch import fetch_corpus
    from sonoscale.corpora._recipes import Recipe

    state: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(state.get(self.path, b"HTTP/1.0 404 no\r\n\r\n"))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.wav", encoded("WAV"))

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        body = archive.getvalue()
        record = {"files": [{"key": "a.zip", "links": {"self": f"{address}/a.zip"}, "size": len(body)}]}
        said = json.dumps(mutated_json(record, rng) if rng.random() < 0.5 else record).encode()
        reply = {"/9": said, "/a.zip": body}
        for path, content in reply.items():
            head = b'HTTP/1.0 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % len(content)
            whole = head + content
            state[path] = mutated(whole, rng) if rng.random() < 0.4 else whole
        about = {"title": "t", "homepage": "h", "licence": "l", "citation": "c", "zenodo_api": address}
        recipe = Recipe.model_validate({**about, "files": [{"zenodo": "9"}]})
        patience = Patience(retries=1, pause=0.001, timeout=5)
        return lambda: fetch_corpus("toy", recipe, folder / "out", patience=patience)

    return attack


def receipts(base: Path) -> Attack:
    from sonoscale.corpora._download import Patience, download
    from sonoscale.corpora._fetch import fetch_corpus
    from sonoscale.corpora._recipes import Recipe

    receipt = {
        "name": "toy",
        "files": {"a.zip": {"urls": ["http://127.0.0.1:9/a.zip"], "bytes": 5}},
        "complete": ["a.zip"],
    }
    state = {"url": "http://127.0.0.1:9/a.zip", "validator": '"1"'}
    files = [{"url": "http://127.0.0.1:9/a.zip"}, {"url": "http://127.0.0.1:9/b.zip"}]
    about = {"title": "t", "homepage": "h", "licence": "l", "citation": "c"}
    recipe = Recipe.model_validate({**about, "files": files})
    patience = Patience(retries=0, pause=0.001, timeout=1)

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        def damaged(value: Any) -> bytes:
            if rng.random() < 0.5:
                return mutated(json.dumps(value).encode(), rng)
            return json.dumps(mutated_json(value, rng)).encode()

        (folder / "toy").mkdir()
        if rng.random() < 0.6:
            (folder / "toy" / "sonoscale-fetch.json").write_bytes(damaged(receipt))
            return lambda: fetch_corpus("toy", recipe, folder, patience=patience)
        (folder / "f.part").write_bytes(b"begun")
        (folder / "f.part.json").write_bytes(damaged(state))
        return lambda: download([state["url"]], folder / "f", patience=patience)

    return attack


def archived(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(3):
                archive.writestr(f"audio/{i}.wav", encoded("WAV", seed=i))
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for i in range(3):
            content = encoded("WAV", seed=i)
            member = tarfile.TarInfo(f"audio/{i}" + "long" * 40 * (i == 1) + ".wav")
            member.size, member.pax_headers = len(content), {"comment": "x"}
            tar.addfile(member, io.BytesIO(content))
            said = json.dumps({"label": i}).encode()
            member = tarfile.TarInfo(f"audio/{i}.json")
            member.size = len(said)
            tar.addfile(member, io.BytesIO(said))
    packers: dict[str, Callable[[bytes], bytes]] = {
        "tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress,
    }  # fmt: skip
    return packers[kind](out.getvalue())


def archives(base: Path) -> Attack:
    from sonoscale.corpora._unpack import unpack

    whole = {kind: archived(kind) for kind in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")}
    packers: dict[str, Callable[[bytes], bytes]] = {"tar.gz": gzip.compress, "tar.xz": lzma.compress}

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        kind = rng.choice([*whole, "split"])
        if kind == "split":  # in three segments
            content = mutated(whole["zip"], rng)
            cuts = sorted(rng.randrange(len(content) + 1) for _ in range(2))
            parts = [content[: cuts[0]], content[cuts[0] : cuts[1]], content[cuts[1] :]]
            files = [folder / name for name in ("a.z01", "a.z02", "a.zip")]
            for file, part in zip(files, parts, strict=True):
                file.write_bytes(part)
            return lambda: unpack(files[-1], folder / "out", files[:-1])
        inside = kind in packers and rng.random() < 0.5  # damage that is packed
        content = packers[kind](mutated(whole["tar"], rng)) if inside else mutated(whole[kind], rng)
        file = folder / f"a.{kind}"
        file.write_bytes(content)
        return lambda: unpack(file, folder / "out")

    return attack


def tar_shards(base: Path) -> Attack:
    from sonoscale.corpora import open_corpus

    whole = archived("tar")

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        file = folder / "a.tar"
        file.write_bytes(mutated(whole, rng))

        def read() -> None:
            corpus = open_corpus(file)
            for i in range(len(corpus)):
                for look in (corpus.wave, corpus.row):
                    try:
                        look(i)
                    except SonoscaleError:
                        continue

        return read

    return attack


def audio(base: Path) -> Attack:
    from sonoscale.audio import read_audio
    from sonoscale.audio._read import read_header
    from sonoscale.corpora import describe

    forms = [
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "MS_ADPCM"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
        ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"), ("CAF", "PCM_16"),
    ]  # fmt: skip
    whole = [(form, encoded(form, subtype)) for form, subtype in forms]

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        form, content = rng.choice(whole)
        file = folder / f"a.{form.lower()}"
        file.write_bytes(mutated(content, rng))

        def read() -> None:
            if rng.random() < 0.2:
                describe(file, workers=1)
                return
            header = read_header(file)
            assert header.rate > 0
            found = read_audio(file, start=0.1, stop=0.2) if rng.random() < 0.3 else read_audio(file)
            assert np.isfinite(found).all()

        return read

    return attack


def sketches(base: Path) -> Attack:
    from safetensors.numpy import load_file, save_file

    from sonoscale.rank import SpectralSketch, rankme
    from sonoscale.rank._storage import _digest

    sketch = SpectralSketch(6, blocks=4)
    sketch.update(np.random.default_rng(0).standard_normal((80, 6)))
    sketch.save(base / "a.safetensors")
    expected = rankme(sketch).value
    content, tensors = (base / "a.safetensors").read_bytes(), load_file(base / "a.safetensors")
    about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        file, forged = folder / "a.safetensors", rng.random() < 0.4
        if forged:
            made = {**about, "sketches": json.dumps(mutated_json(json.loads(about["sketches"]), rng))}
            made.pop("digest")
            save_file(tensors, file, metadata={**made, "digest": _digest(tensors, made)})
        else:
            file.write_bytes(mutated(content, rng))

        def read() -> None:
            value = rankme(SpectralSketch.load(file)).value
            assert forged or value == expected

        return read

    return attack


def records(base: Path) -> Attack:
    from sonoscale.rank import rankme, read_records, write_records

    record = rankme(np.random.default_rng(0).standard_normal((80, 6)))
    for suffix in ("json", "parquet"):
        write_records([record, record], base / f"r.{suffix}")
    content = {suffix: (base / f"r.{suffix}").read_bytes() for suffix in ("json", "parquet")}

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        suffix = rng.choice(["json", "json", "parquet"])
        file = folder / f"r.{suffix}"
        if suffix == "json" and rng.random() < 0.6:
            file.write_text(json.dumps(mutated_json(json.loads(content["json"]), rng)))
        else:
            file.write_bytes(mutated(content[suffix], rng))

        def read() -> None:
            for one in read_records(file):
                _ = one.headline, one.rows(), repr(one), one.to_json(), one._repr_html_()

        return read

    return attack


def embeddings(base: Path) -> Attack:
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq
    import safetensors.numpy
    import torch

    from sonoscale.rank import rankme

    rows = np.random.default_rng(0).standard_normal((120, 6)).astype(np.float32)
    np.save(base / "e.npy", rows)
    np.savez(base / "e.npz", e=rows)
    np.savez_compressed(base / "c.npz", e=rows)
    pq.write_table(pa.table({"e": pa.array(list(rows), pa.list_(pa.float32()))}), base / "e.parquet")
    pq.write_table(pa.table({f"f{i}": rows[:, i] for i in range(6)}), base / "f.parquet", compression="zstd")
    safetensors.numpy.save_file({"e": rows}, base / "e.safetensors")
    torch.save(torch.from_numpy(rows), base / "e.pt")
    torch.save({"e": torch.from_numpy(rows)}, base / "f.pth")
    with h5py.File(base / "e.h5", "w") as file:
        file.create_dataset("a/e", data=rows, chunks=(30, 6), compression="gzip")
    whole = sorted(base.iterdir())

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        source = rng.choice(whole)
        file = folder / source.name
        file.write_bytes(mutated(source.read_bytes(), rng))
        return lambda: rankme(file, nan_policy="omit")

    return attack


def stores_of_digests(base: Path) -> Attack:
    from sonoscale.digests import file_digests

    file = base / "content"
    file.write_bytes(b"content")
    time.sleep(0.2)  # so that its digest is kept
    expected = file_digests([file])
    whole = (Path(os.environ["SONOSCALE_CACHE"]) / "digests.sqlite").read_bytes()

    def attack(rng: random.Random, folder: Path) -> Callable[[], object]:
        (folder / "digests.sqlite").write_bytes(mutated(whole, rng))

        def read() -> None:
            before, os.environ["SONOSCALE_CACHE"] = os.environ["SONOSCALE_CACHE"], os.fspath(folder)
            try:
                (found,) = file_digests([file])
            finally:
                os.environ["SONOSCALE_CACHE"] = before
            assert found is not None  # what is kept there is only a help
            assert isinstance(expected[0], str)

        return read

    return attack


DATA: dict[str, Callable[[Path], Attack]] = {
    "log-mel caches": log_mels,
    "packs": packs,
    "journals of packs": journals,
    "tables": tables,
    "HEAR tasks": hear_tasks,
    "recipes": recipes,
    "answers of servers": answers,
    "receipts": receipts,
    "archives": archives,
    "tar shards": tar_shards,
    "audio": audio,
    "sketches": sketches,
    "rank records": records,
    "embeddings": embeddings,
    "stores of digests": stores_of_digests,
}
