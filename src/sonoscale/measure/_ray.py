"""The same over the workers of a Ray cluster: shards of clips out, sketches back."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError
from sonoscale.measure._sketches import Pass, Sketches, block_of_each, sketch_clips


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
    either. A shard whose worker dies is done again. Every worker must be able to load the encoder and reach the audio.

    Arguments:
        encoder: a spec for `load_encoder`.
        audio: a spec for `open_corpus`.
        opened: further arguments of `open_corpus`.
        loaded: further arguments of `load_encoder`.
        shards: into how many the clips are cut.
        address: of the cluster; by default the one that is running, or a new one on this machine.
        progress: see `measure_encoder`.

    Raises:
        SonoscaleError: Ray is not installed, or a shard failed for a reason of its own.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError:
        raise SonoscaleError("--executor ray needs Ray: pip install 'sonoscale[ray]'") from None
    if not ray.is_initialized():
        ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)

    remote = ray.remote(max_retries=5, num_cpus=1)(_shard)

    def sketch(how: Pass, indices: Sequence[int], what: str) -> Sketches:
        parts = [part.tolist() for part in np.array_split(np.asarray(indices), min(shards, len(indices)))]
        sizes = {}
        for part in parts:
            sizes[remote.remote(encoder, audio, opened, loaded, part, how)] = len(part)
        waiting, done = list(sizes), 0
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            done += sum(sizes[each] for each in ready)
            if progress:
                progress(what, done, len(indices))
        try:
            found: list[Sketches] = ray.get(list(sizes))
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, SonoscaleError) else error
            raise SonoscaleError(str(cause).strip().splitlines()[-1]) from error
        except RayError as error:
            raise SonoscaleError(f"the cluster failed: {str(error).strip().splitlines()[0]}") from error
        total = found[0]
        for part in found[1:]:
            total = total.merge(part)
        return total

    return sketch


def _shard(
    encoder: str, audio: str, opened: dict[str, Any], loaded: dict[str, Any], indices: list[int], how: Pass
) -> Sketches:
    """In a worker."""
    import torch

    from sonoscale.encoders import load_encoder

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = load_encoder(encoder, **loaded)
    corpus = open_corpus(audio, sample_rate=model.sample_rate, **opened)
    return sketch_clips(model, corpus, indices, block_of_each(corpus, how.blocks), how)
