"""The same over the workers of a Ray cluster: shards of clips out, sketches back."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale.corpora import AudioCorpus, open_corpus
from sonoscale.encoders import CheckedEncoder, load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.measure._sketches import Pass, Sketches, block_of_each, sketch_clips
from sonoscale.processes import available_cores


def ray_sketcher(
    encoder: str,
    audio: str,
    *,
    opened: dict[str, Any],
    loaded: dict[str, Any],
    shards: int = 32,
    address: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Callable[[Pass, Sequence[int], str], Sketches]:
    """What `measure_encoder` takes as `sketch`: the clips are cut into shards, each the work of one task.

    The shards do not depend on the cluster, and their sketches are merged in their order, so the answer does not
    either. A shard whose worker dies is done again, up to five times. A task takes one core, and one GPU if the
    encoder is loaded on `cuda`; a worker keeps the encoder from one task to the next. Every worker must be able to
    load the encoder and reach the audio; relative paths are of the folder that the caller works in, on every machine.

    Arguments:
        encoder: a spec for `load_encoder`.
        audio: a spec for `open_corpus`.
        opened: further arguments of `open_corpus`; JSON-able, or paths.
        loaded: further arguments of `load_encoder`; JSON-able.
        shards: into how many the clips are cut.
        address: of the cluster; by default the one that is running, or a new one on this machine.
        progress: see `measure_encoder`.

    Raises:
        SonoscaleError: Ray is not installed, or a shard failed for a reason of its own or lost its worker every time.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError:
        raise SonoscaleError("--executor ray needs Ray: pip install 'sonoscale[ray]'") from None
    if not ray.is_initialized():
        _start(address)
    gpus = 1 if str(loaded.get("device", "cpu")).startswith("cuda") else 0
    remote = ray.remote(max_retries=5, num_cpus=1, num_gpus=gpus)(_shard)
    plain = json.dumps([encoder, audio, opened, loaded, str(Path.cwd())], default=str)

    def sketch(how: Pass, indices: Sequence[int], what: str) -> Sketches:
        parts = [part.tolist() for part in np.array_split(np.asarray(indices), max(1, min(shards, len(indices))))]
        how = replace(how, workers=1)
        tasks = [remote.remote(plain, part, how) for part in parts]
        sizes = {task: len(part) for task, part in zip(tasks, parts, strict=True)}
        waiting, done = tasks, 0
        try:
            while waiting:
                ready, waiting = ray.wait(waiting, num_returns=1)
                ray.get(ready)  # raises what failed, at once
                done += sum(sizes[each] for each in ready)
                if progress:
                    progress(what, done, len(indices))
            return functools.reduce(Sketches.merge, ray.get(tasks))
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, SonoscaleError) else error
            raise SonoscaleError(str(cause).strip() if cause is not error else _last_line(error)) from error
        except RayError as error:
            raise SonoscaleError(f"the cluster failed: {str(error).strip().splitlines()[0]}") from error
        finally:
            for task in waiting:
                ray.cancel(task, force=False)

    return sketch


def _start(address: str | None) -> None:
    """Join the cluster that is running, or start one on this machine."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None and "RAY_ADDRESS" not in os.environ:
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            # Else a cluster of our own keeps a token in the home folder, and tells of its use.
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address="local", num_cpus=available_cores(), include_dashboard=False, **quiet)
    else:
        ray.init(address=address, **quiet)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _shard(plain: str, indices: list[int], how: Pass) -> Sketches:
    """In a worker."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model, corpus = _ready(plain)
    return sketch_clips(model, corpus, indices, block_of_each(corpus, how.blocks), how)


@functools.lru_cache(maxsize=1)
def _ready(plain: str) -> tuple[CheckedEncoder, AudioCorpus]:
    """The encoder and the audio, kept by a worker from one shard to the next."""
    encoder, audio, opened, loaded, folder = json.loads(plain)
    if Path(folder).is_dir():
        os.chdir(folder)
    model = load_encoder(encoder, **loaded)
    return model, open_corpus(audio, sample_rate=model.sample_rate, **opened)
