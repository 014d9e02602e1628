"""The Ray cluster that there is, or one on this machine."""

from __future__ import annotations

import os
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.processes import available_cores


def join_cluster(address: str | None = None) -> Any:
    """Join the cluster at an address, that which is running, or a new one on this machine; returns Ray.

    Raises:
        SonoscaleError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise SonoscaleError("--executor ray needs Ray: pip install 'sonoscale[ray]'") from None
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
            raise SonoscaleError(f"no Ray cluster at {wanted} (--executor ray, RAY_ADDRESS): {reason}") from error
        return ray
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        # Else a cluster of our own keeps a token in the home folder, and tells of its use.
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
        raise SonoscaleError(f"device {device}: the Ray cluster has no GPU; use --device cpu, or auto")
    return "cuda"
