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
from sonoscale.encoders import CheckedEncoder, Encoder, load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.measure._clips import block_of_each, identity_of
from sonoscale.measure._sketches import Pass, Sketches, sketch_clips
from sonoscale.processes import available_cores


def join_cluster(address: str | None = None) -> Any:
    """Join the cluster at an address, that which is running, or a new one on this machine; returns Ray.

    Raises:
        SonoscaleError: Ray is not installed, or there is no cluster at the address.
    """
    ray: Any = need("ray", what="executor ray")
    if ray.is_initialized():
        return ray
    # The first error of a worker is raised here; without this the same of the other workers is printed beside it.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    wanted = address or os.environ.get("RAY_ADDRESS")
    if wanted:
        try:
            ray.init(address=wanted, **quiet)
        except (ConnectionError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SonoscaleError(f"no Ray cluster at {wanted} (executor ray, RAY_ADDRESS): {reason}") from error
        return ray
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        # Else a cluster of our own keeps a token in the home folder, and reports its use.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address="local", num_cpus=available_cores(), include_dashboard=False, **quiet)
        except (ConnectionError, ValueError) as error:
            raise SonoscaleError(f"no Ray cluster can be started on this machine: {error}") from error
    return ray


def cluster_device(device: str, *, address: str | None = None) -> str:
    """Where encoders run on a cluster, which gives each task a GPU of its own: `cuda`, whatever its number, or `cpu`.

    Arguments:
        device: as for `load_encoder`; `auto` is a GPU if the cluster has any.
        address: see `ray_sketcher`.

    Raises:
        SonoscaleError: a GPU is asked for and the cluster has none; or what `join_cluster` raises.
    """
    ray = join_cluster(address)
    gpus = ray.cluster_resources().get("GPU", 0)
    if device == "auto":
        return "cuda" if gpus else "cpu"
    if not device.startswith("cuda"):
        return device
    if not gpus:
        raise SonoscaleError(f"device {device}: the Ray cluster has no GPU; use cpu, or auto")
    return "cuda"


def ray_sketcher(
    spec: str,
    audio: str,
    *,
    encoder: Encoder,
    corpus: AudioCorpus,
    opened: dict[str, Any],
    loaded: dict[str, Any],
    shards: int = 32,
    address: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Callable[[Pass, Sequence[int], str], Sketches]:
    """What `measure_encoder` takes as `sketch`: the clips are cut into shards, each the work of one task.

    The shards do not depend on the cluster, and their sketches are merged in their order, so the answer does not
    either. They are merged as they come, and no more are begun than twice the cores of the cluster (four at least)
    beyond the last that was merged, so that few are kept. A shard whose worker dies is done again, up to five times. A
    task takes one core, and one GPU if the encoder is loaded on `cuda`; a worker keeps the encoder from one task to
    the next. Every worker must be able to load the same encoder and reach the same audio, and says so if it does not;
    relative paths are of the folder that the caller works in, on every machine.

    Arguments:
        spec: of the encoder, for `load_encoder`.
        audio: a spec for `open_corpus`.
        encoder, corpus: what these are here; a worker that finds others raises.
        opened: further arguments of `open_corpus`; JSON-able, or paths.
        loaded: further arguments of `load_encoder`; JSON-able; for the device see `cluster_device`.
        shards: into how many the clips are cut.
        address: of the cluster; by default the one that is running, or a new one on this machine.
        progress: see `measure_encoder`.

    Raises:
        SonoscaleError: Ray is not installed, there is no cluster or no GPU in it; later: a shard failed for a reason
            of its own, or lost its worker every time.
    """
    ray = join_cluster(address)
    from ray.exceptions import RayError, RayTaskError

    loaded = loaded | {"device": cluster_device(str(loaded.get("device", "cpu")))}
    remote = ray.remote(max_retries=5, num_cpus=1, num_gpus=int(loaded["device"] == "cuda"))(_shard)
    found = _found(encoder, corpus)
    plain = json.dumps([spec, audio, opened, loaded, str(Path.cwd()), found], default=str)

    def sketch(how: Pass, indices: Sequence[int], what: str) -> Sketches:
        parts = [part.tolist() for part in np.array_split(np.asarray(indices), max(1, min(shards, len(indices))))]
        most = max(4, 2 * int(ray.cluster_resources().get("CPU", 0)))
        how = replace(how, workers=1)
        running: dict[Any, int] = {}
        ready: dict[int, Any] = {}
        total: Sketches | None = None
        begun = merged = done = 0
        try:
            while merged < len(parts):
                while begun < min(len(parts), merged + most):
                    running[remote.remote(plain, parts[begun], how)] = begun
                    begun += 1
                (task,), _ = ray.wait(list(running), num_returns=1)
                ray.get(task)  # raises what failed, at once
                place = running.pop(task)
                ready[place] = task
                done += len(parts[place])
                if progress:
                    progress(what, done, len(indices))
                del task  # else the cluster keeps its sketches
                while merged in ready:
                    part: Sketches = ray.get(ready.pop(merged))
                    total = part if total is None else total.merge(part)
                    merged += 1
                if total is not None and total.too_many_skipped(how):
                    break
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, SonoscaleError) else error
            raise SonoscaleError(str(cause).strip() if cause is not error else _last_line(error)) from error
        except RayError as error:
            raise SonoscaleError(f"the cluster failed: {str(error).strip().splitlines()[0]}") from error
        # What still runs after an error is left to end with the program: to cancel a task that waits for its worker
        # can abort this process (a failed check in Ray's core).
        assert total is not None
        return total

    return sketch


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
    """The encoder and the audio, kept by a worker from one shard to the next.

    Raises:
        SonoscaleError: they are others than those of the caller.
    """
    spec, audio, opened, loaded, folder, expected = json.loads(plain)
    if Path(folder).is_dir():
        os.chdir(folder)
    model = load_encoder(spec, **loaded)
    corpus = open_corpus(audio, sample_rate=model.sample_rate, **opened)
    for what, here in _found(model, corpus).items():
        if here != expected[what]:
            raise SonoscaleError(
                f"a worker on {os.uname().nodename} finds another {what}: {here}, and not {expected[what]}; give every "
                "machine the same files and packages"
            )
    return model, corpus


def _found(encoder: Encoder, corpus: AudioCorpus) -> dict[str, str]:
    """What must be the same everywhere, the cheapest to find first."""
    return {
        "number of clips": f"{len(corpus)} clips",
        "encoder": encoder.identity,
        "audio": identity_of(corpus),
    }
