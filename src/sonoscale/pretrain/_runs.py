"""The runs in a folder: finished, under way, or begun."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sonoscale._yaml import read_yaml
from sonoscale.arguments import check_arguments
from sonoscale.claims import holders
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.pretrain._record import read_record
from sonoscale.results import Result

__all__ = ["Runs", "runs"]


@dataclass(frozen=True, repr=False)
class Runs(Result):
    """What `runs` found.

    Attributes:
        folder: of the runs.
        runs: for each a mapping of `name`, `run` (the hash that names its folder), `state` (finished, running, begun
            or unreadable), `objective`, `backbone`, `params` (of the encoder), `flops`, `loss` (held-out) and
            `rankme` of the last budget, `device`, and `when` it ended or was last written; None for what is not known.
        problems: a line for each that cannot be read.
    """

    folder: Path
    runs: tuple[dict[str, Any], ...]
    problems: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """How many there are, by state."""
        states = [run["state"] for run in self.runs]
        counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
        text = f"{self.folder}: {len(states)} run(s)" + (f", {', '.join(counts)}" if counts else "")
        return "\n".join([text, *(f"warning: {problem}" for problem in self.problems)])

    def rows(self) -> list[dict[str, Any]]:
        """A row for each, the latest last; columns that none has are left out."""
        known = [name for name in _COLUMNS if any(run[name] is not None for run in self.runs)]
        return [{name: run[name] for name in known} for run in self.runs]

    def as_dict(self) -> dict[str, Any]:
        """Everything."""
        return {"folder": str(self.folder), "runs": list(self.runs), "problems": list(self.problems)}


_COLUMNS = (
    "name", "run", "state", "objective", "backbone", "params", "flops", "loss", "rankme", "device", "when",
)  # fmt: skip


@in_one_line
def runs(folder: str | Path = "results/runs") -> Runs:
    """List the runs in a folder: of `pretrain`, or of a study.

    Arguments:
        folder: of runs, or of a study.

    Returns:
        All of them, with state, size, loss and rank.

    Raises:
        SonoscaleError: no such folder.

    Example:
        >>> runs("no-folder")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-folder: no such folder of runs
    """
    check_arguments(runs, locals())
    place = Path(folder)
    if not place.is_dir():
        raise SonoscaleError(f"{place}: no such folder of runs")
    place = place / "runs" if (place / "runs").is_dir() else place
    claims, found, problems = holders(place), [], []
    for one in sorted(place.iterdir()):
        begun = one.name.startswith(".") and one.name.endswith(".unfinished")
        if not one.is_dir() or (one.name.startswith(".") and not begun):
            continue
        if not begun and not (one / "record.json").exists():
            continue  # is no run
        run = dict.fromkeys(_COLUMNS) | {"run": one.name[1 : -len(".unfinished")] if begun else one.name}
        who = claims.get(run["run"] or "")
        try:
            run |= _configured(one)
            run |= {} if begun else _recorded(one)
            run["state"] = ("running" if who is not None and who.alive else "begun") if begun else "finished"
        except SonoscaleError as error:
            run["state"] = "unreadable"
            problems.append(str(error))
        written = max((file.stat().st_mtime for file in one.iterdir()), default=one.stat().st_mtime)
        run["when"] = datetime.fromtimestamp(written).isoformat(sep=" ", timespec="minutes")
        found.append(run)
    found.sort(key=lambda run: (run["when"], run["run"]))
    return Runs(place, tuple(found), tuple(problems))


def _configured(run: Path) -> dict[str, Any]:
    file = run / "config.yaml"
    content = read_yaml(file) if file.is_file() else {}
    if not isinstance(content, dict):
        raise SonoscaleError(f"{file}: not the configuration of a run")
    encoder, objective = content.get("encoder"), content.get("objective")
    return {
        "name": content.get("name"),
        "objective": objective.get("kind") if isinstance(objective, dict) else None,
        "backbone": encoder.get("backbone") if isinstance(encoder, dict) else None,
    }


def _recorded(run: Path) -> dict[str, Any]:
    record = read_record(run)
    if record is None:
        raise SonoscaleError(f"{run}: holds no record")
    last = record["budgets"][-1]
    return {
        "params": record["params_encoder"], "flops": last["flops"], "loss": last["loss"],
        "rankme": last["rank"]["value"], "device": record["device"],
    }  # fmt: skip
