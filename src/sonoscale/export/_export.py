"""Export an encoder: written beside its place, compared with the original, and only then moved there."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonoscale.arguments import check_arguments
from sonoscale.digests import read_sealed, write_sealed
from sonoscale.encoders import check_readout, load_encoder, with_readouts
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.export._hf import write_hf
from sonoscale.export._modules import write_hear, write_mteb, write_xares
from sonoscale.export._onnx import write_onnx
from sonoscale.export._source import TrainedEncoder, read_trained
from sonoscale.extras import need
from sonoscale.files import digest, make_folder
from sonoscale.own_code import import_code
from sonoscale.processes import remove_leftovers, unfinished_folder
from sonoscale.results import Result


@dataclass(frozen=True)
class Format:
    """How a format is written and read again.

    Attributes:
        write: fills a folder and names what is loaded from it.
        spec: for `load_encoder`, of the folder and that name; None where there is none.
        tolerance: largest difference of an embedding's numbers from ours.
        needs: packages that writing and reading it take.
    """

    write: Callable[[TrainedEncoder, Path], str]
    spec: Callable[[Path, str], str] | None
    tolerance: float = 1e-5
    needs: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "hear": Format(write_hear, lambda folder, name: f"hear:{folder / name / '__init__.py'}"),
    "xares": Format(write_xares, lambda folder, name: f"xares:{folder / name}"),
    "mteb": Format(write_mteb, None),
    "hf": Format(
        write_hf, lambda folder, name: f"hf:{folder}?trust_remote_code=true", needs=("transformers",)
    ),
    "onnx": Format(write_onnx, lambda folder, name: f"onnx:{folder / name}", 1e-4, ("onnxruntime", "onnx")),
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Exported(Result):
    """What was written.

    Attributes:
        format: name in `FORMATS`.
        folder: of the export.
        files: paths within it and their sizes in bytes.
        hash: of the encoder's weights and shape.
        spec: that `load_encoder` reads it by; None for what it cannot read (mteb).
        clips: that the export was compared with the original on.
        difference: largest difference of any number of their embeddings.
        readout: what it gives for a clip.
    """

    format: str
    folder: Path
    files: dict[str, int]
    hash: str
    spec: str | None
    clips: int
    difference: float
    readout: str = "mean"

    @property
    def headline(self) -> str:
        """Where it is, and how far it is from the original."""
        return (
            f"{self.format} export in {self.folder}: differs from the run's encoder by at most {self.difference:.2g}, "
            f"on {self.clips} clips"
        )

    def rows(self) -> list[dict[str, Any]]:
        """The files and their sizes."""
        return [{"file": name, "bytes": size} for name, size in self.files.items()]

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {**vars(self), "folder": str(self.folder)}


@in_one_line
def export(
    run: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    *,
    readout: str = "mean",
    force: bool = False,
) -> Exported:
    """Export the encoder of a finished run, and check the export against it.

    The export is loaded as its users would load it, and embeds a few clips of random sound of several lengths. It
    appears at `out` when it has been found to agree with the encoder to 1e-5 (ONNX: 1e-4).

    Arguments:
        run: a run folder, for its last checkpoint, or a checkpoint file.
        to: a name in `FORMATS`: hear, xares, mteb, hf or onnx.
        out: folder to be made.
        readout: what the export gives for a clip: `mean` over all tokens, which is what the rank is measured on,
            `mean+std`, `frequency` or `frequency+std` (see `READOUTS`). Frames and hidden states stay as they are; of
            X-ARES, whose embedding is a mean over frames, it can be `mean` or `frequency`.
        force: replace an earlier export that is there, as it was written; nothing else is ever replaced.

    Returns:
        the files, the spec that `load_encoder` takes, and the largest difference from the encoder.

    Raises:
        SonoscaleError: no such format, readout or finished run, `out` is not empty, a package is missing, or the export
            does not agree with the encoder.

    Example:
        >>> made = export("results/runs/ab12", "hf", "my-encoder")  # doctest: +SKIP
        >>> made.spec  # doctest: +SKIP
        'hf:my-encoder?trust_remote_code=true'
        >>> export("results/runs/ab12", "tflite", "my-encoder")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: tflite: no such format; choose one of hear, xares, mteb, hf, onnx
    """
    check_arguments(export, locals())
    if to not in FORMATS:
        raise SonoscaleError(f"{to}: no such format; choose one of {', '.join(FORMATS)}")
    check_readout(readout)
    kind, out = FORMATS[to], Path(out).expanduser()
    for module in kind.needs:
        need(module, what=f"the {to} export")
    trained = read_trained(run, readout)
    _check_place(out, trained.run, force)
    with _appears_at(out) as folder:
        name = kind.write(trained, folder)
        clips, difference = _compare(to, folder, name, trained)
        if not difference <= kind.tolerance:
            raise SonoscaleError(
                f"{out}: not written: the {to} export differs from the encoder by {difference:.2g}, which is more than "
                f"{kind.tolerance:g}"
            )
        written = {path.relative_to(folder).as_posix(): digest(path) for path in _files(folder)}
        write_sealed(folder / MANIFEST, {"format": to, "encoder": trained.hash, "files": written})
    files = {path.relative_to(out).as_posix(): path.stat().st_size for path in _files(out)}
    return Exported(to, out, files, trained.hash, kind.spec and kind.spec(out, name), clips, difference, readout)


def _check_place(out: Path, run: Path, force: bool) -> None:
    """Whether an export may be put there."""
    place = out.resolve()
    if any(sign in str(place) for sign in ":?"):
        raise SonoscaleError(f"{place}: an encoder is named by its path, in which : and ? would end it; name another")
    if out.exists() and not out.is_dir():
        raise SonoscaleError(f"{out}: is a file; name a folder")
    if not out.exists():
        return
    for kept, what in ((run, "the run"), (Path.cwd(), "the current folder"), (Path.home(), "your home")):
        if kept.resolve().is_relative_to(place):
            raise SonoscaleError(f"{out}: is or holds {what}, and would be replaced; name another folder")
    if any(out.iterdir()):
        if not force:
            raise SonoscaleError(f"{out}: is there already and not empty; name another folder, or replace it (force)")
        _check_export(out)


MANIFEST = "sonoscale-export.json"
"""In each export: its files and their digests, by which it is known to be one."""


def _check_export(out: Path) -> None:
    """Whether a folder holds an export as it was written, and nothing else."""
    if not (out / MANIFEST).is_file():
        raise SonoscaleError(f"{out}: holds no export, and only an export is replaced; name another folder")
    written = read_sealed(out / MANIFEST, "the list of an export's files").get("files")
    for path in _files(out):
        name = path.relative_to(out).as_posix()
        if name == MANIFEST or path.parent.name == "__pycache__":
            continue
        if not isinstance(written, dict) or name not in written:
            raise SonoscaleError(f"{path}: is no part of the export there, and would be lost; move it elsewhere first")
        if digest(path) != written[name]:
            raise SonoscaleError(f"{path}: was changed after its export, and would be lost; move it elsewhere first")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


@contextlib.contextmanager
def _appears_at(out: Path) -> Iterator[Path]:
    """A new folder of the same name, which takes the place of `out` when the block ends well."""
    out = out.resolve()
    make_folder(out.parent)
    remove_leftovers(out.parent)
    staging = unfinished_folder(out)
    folder, old = staging / out.name, staging / ".old"
    make_folder(folder)
    try:
        yield folder
        if out.exists():
            out.replace(old)
        folder.replace(out)
    finally:
        if old.exists() and not out.exists():
            old.replace(out)
        shutil.rmtree(staging, ignore_errors=True)


def _compare(to: str, folder: Path, name: str, trained: TrainedEncoder) -> tuple[int, float]:
    """Clips compared, and the largest difference of their embeddings."""
    encoder = with_readouts(trained.encoder, [trained.readout])
    with _imports_undone(folder):
        embed = _embedder(to, folder, name)
        count, differences = 0, []
        for samples in (encoder.min_samples, encoder.min_samples + 777, 2 * encoder.sample_rate + encoder.min_samples):
            wave = _clips(samples, encoder.sample_rate)
            with torch.inference_mode():
                ours = encoder.embed(wave)
            differences.append((embed(wave).clone() - ours).abs().max())
            count += len(wave)
    return count, torch.stack(differences).max().item()  # NaN if one is


def _embedder(to: str, folder: Path, name: str) -> Callable[[Tensor], Tensor]:
    spec = FORMATS[to].spec
    if spec is not None:
        encoder = load_encoder(spec(folder, name))
        if to != "hf":
            return encoder.embed
        adapter: Any = encoder._adapter  # which averages hidden states, whatever the model reads out of its tokens
        return lambda wave: adapter.forward(wave).pooler_output.detach()
    model = import_code(str(folder / name), name).SonoscaleMteb()

    def embed(wave: Tensor) -> Tensor:
        rate = model.network.sample_rate
        batch = {"audio": [{"array": row, "sampling_rate": rate} for row in wave.numpy()]}
        return torch.from_numpy(np.asarray(model.encode([batch])))

    return embed


@contextlib.contextmanager
def _imports_undone(folder: Path) -> Iterator[None]:
    """No trace of what is imported from a folder that will move, neither in this process nor as bytecode."""
    path, modules, bytecode = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, bytecode
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]


def _clips(samples: int, rate: int) -> Tensor:
    """Noise and tones, loud and soft: float32 `[4, samples]`."""
    generator = torch.Generator().manual_seed(samples)
    time = torch.arange(samples) / rate
    noise = torch.randn(4, samples, generator=generator)
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * time) for hertz in (110.0, 440.0, 1500.0, 6000.0)])
    return 0.1 * noise * torch.tensor([1.0, 0.1, 1e-3, 0.0])[:, None] + 0.5 * tones
