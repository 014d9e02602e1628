"""The files of a run: written in a hidden folder beside their place, and moved there in one step when complete."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from sonoscale.claims import Claim, claimed
from sonoscale.config import config_hash
from sonoscale.digests import write_sealed
from sonoscale.errors import SonoscaleError
from sonoscale.files import check_zip, digest, make_folder, replacing, write_bytes, write_text
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._flops import Cost
from sonoscale.pretrain._monitor import RankReading
from sonoscale.pretrain._objective import Objective
from sonoscale.pretrain._record import check_written, read_record
from sonoscale.pretrain._schedule import make_schedule
from sonoscale.provenance import versions

if TYPE_CHECKING:
    from sonoscale.pretrain._runtime import Runtime

LOGGED = ("loss", "lr", "grad_norm", "heldout_loss", "rankme", "rankme_centred")
"""Metrics that loggers are given too."""

_COSTS = ("clips_seen", "hours_seen", "flops_encoder", "flops", "seconds")
_METRICS = pa.schema(
    [("step", pa.int64()), ("phase", pa.string()), *((name, pa.float64()) for name in (*LOGGED, *_COSTS))]
)


class RunFolder:
    """Collects what a run produces, keeps the state to resume from, and lets everything appear atomically.

    Arguments:
        config: the run.
        folder: where it will be.
        identity: what the folder's name is a hash of.
        precision: of the forward pass; a run resumes with the one that it began with.
        writes: of several processes, one does.
        claim: on this run, if the caller has it already.
        continues: the folder of a finished run of smaller budgets, whose trunk this one continues, see `find_trunk`.

    Attributes:
        claim: on this run, while it is held by this process.
    """

    def __init__(
        self, config: RunConfig, folder: Path, *, identity: dict[str, Any], precision: str, writes: bool = True,
        claim: Claim | None = None, continues: Path | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.identity = identity
        self.precision = precision
        self.writes = writes
        self.folder = folder
        self.claim = claim
        self._continues = continues
        self.unfinished = unfinished_run(folder)
        self._rows: list[dict[str, Any]] = []
        self._spectra: dict[str, torch.Tensor] = {}
        self._budgets: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    @contextmanager
    def held(self, fabric: Runtime, *, restart: bool = False) -> Iterator[bool]:
        """The folder, made if need be, for this training alone; gives whether there is anything to train.

        Arguments:
            fabric: of all processes of this training, which agree on what is given or raised.
            restart: forget what there is of an unfinished run.

        Raises:
            SonoscaleError: another one trains this run, or the folder holds something else.
        """
        with ExitStack() as stack:
            problem, finished = "", False
            if self.writes:
                try:
                    finished = self._take(stack, restart)
                except (SonoscaleError, OSError) as error:
                    problem = str(error)
            problem, finished = fabric.broadcast((problem, finished))
            if problem:
                raise SonoscaleError(problem)
            yield not finished
            fabric.barrier()  # nobody continues before the run is in its place

    def _take(self, stack: ExitStack, restart: bool) -> bool:
        """Claim the run; whether it is finished already."""
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / "record.json").is_file():
            raise SonoscaleError(f"{self.folder}: is no run folder, and would be overwritten; name another")
        if self.claim is None:
            make_folder(self.folder.parent)
            self.claim = stack.enter_context(claimed(self.folder.parent, self.folder.name, "trains"))
        make_folder(self.unfinished)
        if read_record(self.folder) is not None:  # another process was faster
            self.discard()
            return True
        for partial in self.unfinished.glob(".*-*"):  # of a process that was killed while it wrote
            partial.unlink()
        if restart:
            for file in self.unfinished.iterdir():
                file.unlink()
        content = self.config.model_dump(mode="json")
        write_text(self.unfinished / "config.yaml", yaml.safe_dump(content, sort_keys=False))
        if (self.unfinished / "record.json").is_file():  # killed between its last file and its move
            self._move()
            return True
        return False

    def warn(self, warning: str | None) -> None:
        """Keep a warning, each kind once."""
        kind = (warning or "").split(maxsplit=3)[:3]
        if warning and kind not in [each.split(maxsplit=3)[:3] for each in self.warnings]:
            self.warnings.append(warning)

    def log(self, **row: Any) -> None:
        """Some training steps."""
        self._rows.append(row)

    def log_heldout(
        self, phase: str, step: int, reading: RankReading, values: dict[str, float], seen: dict[str, float]
    ) -> None:
        """Rank and loss on held-out clips; the first and the last spectrum are kept."""
        self._rows.append({"phase": phase, **seen, **values})
        if step == 0 or (phase != "trunk" and step == self.config.budgets[-1]):
            self._spectra[f"step_{step}"] = torch.from_numpy(reading.spectrum)
            self._spectra[f"step_{step}_centred"] = torch.from_numpy(reading.spectrum_centred)

    def log_again(self, log: Callable[[dict[str, float], int], Any]) -> None:
        """Give `log` what an interrupted run had measured up to the state that it resumes from."""
        for row in self._rows:
            found = {name: row[name] for name in LOGGED if name in row}
            log({f"{row['phase']}/{name}": value for name, value in found.items()}, row["step"])

    def finish_budget(
        self, step: int, objective: Objective, reading: RankReading, loss: float, seen: dict[str, float]
    ) -> None:
        """A budget is trained to its end: keep the model and its measurements."""
        result = {
            **seen,
            "step": step,
            "loss": loss,
            "rank": reading.uncentred.as_dict(),
            "rank_centred": reading.centred.as_dict(),
        }
        self._budgets.append(result)
        if not self.writes:
            return
        self._still_mine()
        content = {
            "config": self.config.model_dump(mode="json"),
            "step": step,
            "encoder": objective.encoder.state_dict(),
            "objective": objective.state_dict(),
        }
        _replace(checkpoint_file(self.unfinished, step, self.config.budgets[-1]), content)

    def save_state(self, state: dict[str, Any]) -> None:
        """Everything that is needed to resume from here, in one atomic step."""
        self._save("state.pt", state)

    def keep_trunk(self, state: dict[str, Any]) -> None:
        """All budgets are trained: keep the trunk, from which a run of larger ones can continue."""
        self._save("trunk.pt", state)

    def _save(self, name: str, state: dict[str, Any]) -> None:
        if not self.writes:
            return
        self._still_mine()
        written = {
            "rows": self._rows, "spectra": self._spectra, "budgets": self._budgets, "warnings": self.warnings,
        }  # fmt: skip
        _replace(
            self.unfinished / name,
            {"run": self._digest(), "precision": self.precision, "state": state, "written": written},
        )

    def resume(self, restore: Callable[[dict[str, Any] | None], None]) -> None:
        """Give `restore` what `load_state` found.

        Raises:
            SonoscaleError: it cannot be read, is damaged, or does not fit this run.
        """
        try:
            restore(self.load_state())
        except SonoscaleError:
            raise
        except Exception as error:  # whatever a state of other content brings about
            files = [self.unfinished / "state.pt", *([self._continues / "trunk.pt"] if self._continues else [])]
            file = next((file for file in files if file.is_file()), self.unfinished)
            raise SonoscaleError(
                f"{file}: holds no state of this run ({type(error).__name__}); delete it to train from the beginning"
            ) from error

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` kept, or the trunk of the run that this one continues, or None to begin at the beginning.

        Raises:
            SonoscaleError: it cannot be read, or is damaged.
        """
        file = self.unfinished / "state.pt"
        if not file.is_file():
            return self._continued()
        kept = _read_state(file, "delete it to restart this run")
        begun, precision, written = kept["run"], kept["precision"], kept["written"]
        if begun != self._digest():
            return self._continued()
        if precision != self.precision:
            raise SonoscaleError(
                f"{self.unfinished}: was begun with precision {precision}, not {self.precision}: resume with that, or "
                "restart it (resume=False)"
            )
        self._take_up(written)
        return kept["state"]

    def _take_up(self, written: dict[str, Any]) -> None:
        check_written(written)
        self._rows, self._spectra = written["rows"], written["spectra"]
        self._budgets, self.warnings = written["budgets"], written["warnings"]

    def _continued(self) -> dict[str, Any] | None:
        """The end of a smaller run as the state of this one, whose results it has from there."""
        source = self._continues
        if source is None or not (source / "trunk.pt").is_file():
            return None
        kept = _read_state(source / "trunk.pt", "delete it, and this run is trained from the beginning")
        if kept["precision"] != self.precision:
            return None
        budgets = self.config.budgets
        self._take_up(kept["written"])
        self._spectra = {name: each for name, each in self._spectra.items() if name.startswith("step_0")}
        self._budgets = [budget for budget in self._budgets if budget["step"] in budgets]
        last = max(budget["step"] for budget in kept["written"]["budgets"])
        for budget in self._budgets if self.writes else ():
            step = budget["step"]
            old, new = checkpoint_file(source, step, last), checkpoint_file(self.unfinished, step, budgets[-1])
            check_zip(old)
            with replacing(new) as partial:
                shutil.copyfile(old, partial)
        done = {budget["step"] for budget in self._budgets}
        return kept["state"] | {"segment": make_schedule(self.config).after(kept["state"]["now"]["step"], done)}

    def _still_mine(self) -> None:
        """Raises:
        ClaimLostError: another process has taken this run over, and writes it now.
        """
        if self.claim is not None:
            self.claim.check()

    def close(self, cost: Cost, *, clips: int, train_seconds: float, **more: Any) -> None:
        """Write what is left and move the folder to its place.

        Arguments:
            cost: of one training example.
            clips, train_seconds: unique clips and seconds of audio trained on.
            more: kept in the record too.
        """
        if not self.writes:
            return
        self._still_mine()
        columns = {f.name: [row.get(f.name) for row in self._rows] for f in _METRICS}
        table = pa.table(columns, schema=_METRICS)
        pq.write_table(table, self.unfinished / "metrics.parquet", compression="zstd", write_page_checksum=True)
        spectra = {name: spectrum.numpy() for name, spectrum in self._spectra.items()}
        np.savez_compressed(self.unfinished / "spectra.npz", **spectra)  # pyright: ignore[reportArgumentType]
        start = next(row for row in self._rows if "rankme" in row)
        record = {
            "name": self.config.name,
            "identity": self.identity,
            "trunk": trunk_hash(self.identity),
            "precision": self.precision,
            "clips": clips,
            "hours": train_seconds / 3600,
            **{name: value for name, value in vars(cost).items() if name.startswith("params_")},
            "versions": versions("torch", "numpy"),
            "rank_start": {name: start[name] for name in ("rankme", "rankme_centred")},
            "warnings": self.warnings,
            "files": {
                file.name: {"bytes": file.stat().st_size, "sha256": digest(file)}
                for file in sorted(self.unfinished.glob("*.pt"))
                if file.name != "state.pt"
            },
            **more,
            "budgets": self._budgets,
        }
        write_sealed(self.unfinished / "record.json", record)  # the last file: with it, the run is complete
        self._move()

    def _move(self) -> None:
        self._still_mine()
        for leftover in [*self.unfinished.glob(".*"), self.unfinished / "state.pt"]:
            leftover.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.unfinished.replace(self.folder)

    def discard(self) -> None:
        """Remove what there is of an unfinished run."""
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def _digest(self) -> str:
        return json.dumps([self.config.outcome(), self.identity], sort_keys=True, default=str)


def unfinished_run(folder: Path) -> Path:
    """Where a run is until it is finished."""
    return folder.with_name(f".{folder.name}.unfinished")


def trunk_hash(identity: dict[str, Any]) -> str:
    """Of all that decides the trunk of a run: equal for runs that differ in their budgets only."""
    run = identity.get("run", {})
    train = {key: value for key, value in run.get("train", {}).items() if key != "budgets"}
    return config_hash({**identity, "run": {**run, "train": train}})


def find_trunk(
    config: RunConfig, identity: dict[str, Any], finished: Iterable[tuple[Path, dict[str, Any]]]
) -> Path | None:
    """The finished run that a run can continue instead of training anew: the longest with the same trunk.

    Arguments:
        config: the run to be trained.
        identity: its own.
        finished: folders and records of runs.
    """
    wanted, budgets = trunk_hash(identity), config.budgets
    best: tuple[int, Path] | None = None
    for folder, record in finished:
        if record.get("trunk") != wanted:
            continue
        steps = [budget["step"] for budget in record["budgets"]]
        end = config.train.decay_start(steps[-1])
        follows = all(step in steps or config.train.decay_start(step) >= end for step in budgets)
        if follows and steps[-1] < budgets[-1] and (folder / "trunk.pt").is_file() and (best is None or end > best[0]):
            best = (end, folder)
    return best[1] if best else None


def checkpoint_file(folder: Path, step: int, last: int) -> Path:
    """The checkpoint of one budget of a run."""
    return folder / ("checkpoint.pt" if step == last else f"checkpoint-{step:06d}.pt")


def _read_state(file: Path, remedy: str) -> dict[str, Any]:
    try:
        check_zip(file)
        kept = torch.load(file, map_location="cpu", weights_only=True)
        for name in ("run", "precision", "written", "state"):
            kept[name]
    except Exception as error:
        raise SonoscaleError(f"{file}: cannot be read; {remedy} ({str(error).splitlines()[0]})") from error
    return kept


def _replace(path: Path, content: Any) -> None:
    """Write by atomic rename."""
    buffer = io.BytesIO()  # through memory: on a full disk torch.save itself raises no OSError
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())
