"""A study from its file to its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale._figure import new_axes
from sonoscale.arguments import check_arguments
from sonoscale.config import load_config
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import default_cache
from sonoscale.results import Result
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun, expand
from sonoscale.study._encoders_config import AnyStudyConfig, EncoderStudyConfig, model_of_file
from sonoscale.study._failures import read_failures
from sonoscale.study._imported import ImportedStudyConfig
from sonoscale.study._run import run_study
from sonoscale.study._watch import Failure, Lines, Watcher

if TYPE_CHECKING:
    import pyarrow as pa

    from sonoscale.laws import RunTable
    from sonoscale.study._add import Added
    from sonoscale.study._plan_result import StudyPlan
    from sonoscale.study._status import Status

__all__ = ["Study", "study"]


@in_one_line
def study(
    source: str | os.PathLike[str] | AnyStudyConfig,
    *,
    out: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    set: str | Iterable[str] | Mapping[str, Any] = (),  # noqa: A002 (the command's word)
) -> Study:
    """A study, to be run or to be read: `study("study.yaml").run()`.

    Arguments:
        source: a YAML file; the folder of a study that was run before; its ledger alone, with which it continues
            elsewhere; or a configuration.
        out: folder of the study, made by `run`. None: `results/NAME`, or the folder that was given.
        cache: folder of computed log-mels, shared by studies. None: `$SONOSCALE_CACHE`, or `sonoscale` in
            `$XDG_CACHE_HOME` or `~/.cache`.
        set: keys to override: strings `a.b=value`, or a mapping of dotted keys.

    Returns:
        The `Study`; nothing is trained yet.

    Raises:
        SonoscaleError: no such file, an unknown key (the nearest valid one is named), a value that is out of range.

    Example:
        >>> config = StudyConfig.model_validate({
        ...     "name": "widths", "data": {"kind": "procedural"}, "sweep": {"encoder.width": [8, 16, 32]},
        ...     "tasks": [{"kind": "procedural", "name": "event"}],
        ... })
        >>> widths = study(config, out="results/widths")
        >>> [run.label for run in widths.planned() if run.config.seed == 0]
        ['base', 'width=8', 'width=16', 'width=32']
    """
    check_arguments(study, locals())
    folder, begun_with = None, None
    if isinstance(source, AnyStudyConfig):
        if set:
            raise SonoscaleError(f"set = {list(set)}: overrides a file's keys; change the configuration itself")
        config = source
        _check(config)
    else:
        path = Path(source)
        if path.suffix == ".parquet" or (path.is_dir() and not (path / "study.yaml").is_file()):
            from sonoscale.study._run import restore

            ledger = path if path.suffix == ".parquet" else path / "ledger.parquet"
            folder = ledger.parent if out is None else Path(out)
            restore(folder, ledger if folder != ledger.parent else None)
            begun_with = ledger if folder != ledger.parent else None
            path = folder / "study.yaml"
        elif path.is_dir():
            path, folder = path / "study.yaml", path
        config = load_config(model_of_file(path), path, set)
        if folder is None or set:
            _check(config)
    from sonoscale.study._given_study import EncoderStudy, ImportedStudy

    where = Path(out) if out is not None else folder or Path("results") / config.name
    place = Path(cache) if cache is not None else default_cache()
    kinds = {EncoderStudyConfig: EncoderStudy, ImportedStudyConfig: ImportedStudy}
    return kinds.get(type(config), Study)(config, where, place, begun_with)


def _check(config: AnyStudyConfig) -> None:
    """Refuse at once what cannot be run."""
    if isinstance(config, StudyConfig):
        expand(config)


@dataclass(frozen=True, repr=False, eq=False)
class Study(Result):
    """A designed sweep of encoders: its runs, its ledger, its laws. Made by `study`.

    Attributes:
        config: what is swept.
        folder: where its files are: `study.yaml`, `runs/`, `ledger.parquet`, `laws.json`, `baseline.json`,
            `quality.json`, `failed.json`, `provenance.json` and the report.
        cache: folder of computed log-mels.
        begun_with: the ledger of the same study in another place, whose runs are not trained again.
    """

    config: Any  # one of the kinds of configuration
    folder: Path
    cache: Path
    begun_with: Path | None = None

    def planned(self) -> list[PlannedRun]:
        """All runs of the design.

        Raises:
            SonoscaleError: a swept key does not exist, or a point is not a valid run (named).
        """
        return expand(self.config)

    def plan(self, **options: Any) -> StudyPlan:
        """What it would cost and what it could say, before anything is trained; options as of `sonoscale.study.plan`.

        Raises:
            SonoscaleError: the data cannot be read, or an option is out of range.
        """
        from sonoscale.study._plan import plan

        return plan(self, **options)

    @in_one_line
    def run(
        self,
        *,
        executor: str = "local",
        workers: int | None = None,
        device: str = "auto",
        retries: int = 1,
        progress: Watcher | Callable[[str], object] | None = None,
        **how: Any,
    ) -> Study:
        """Train, probe and fit; finished runs are reused, so that the same call resumes.

        Several calls, also on other machines that share the folder, share the runs: each is trained by one of them.

        Arguments:
            executor: where runs are done: `local`, in processes of this machine; `ray`, on a cluster of Ray; `slurm`,
                in jobs of Slurm; `python:module:Class`, an `Executor` of your own. With all but the first, the machines
                share the study's folder and the cache.
            workers: runs at once. None: as the configuration says, or one per core or, on GPUs, four at most to each.
            device: `auto` (GPUs if there are any), `cpu` or `cuda`.
            retries: how often a run that was killed, ran out of memory or failed otherwise is tried again; one that
                diverged is not.
            how: what only one executor takes. Of ray: `address` of the cluster, `gpus`, the share of a GPU that a run
                takes (default a quarter). Of slurm: `minutes`, the time limit of a job; `slurm`, a mapping of further
                parameters of submitit; `cluster="local"` for processes of this machine in place of Slurm. Of your
                own: what its class takes.
            progress: is notified: a `Watcher`, or a function such as `print` that takes a line for each run.

        Returns:
            The study itself.

        Raises:
            SonoscaleError: bad input (before anything is trained), a full disk, a dead worker, a number of workers
                below 1. Finished runs stay. A run that fails by itself is in `failures`.
        """
        check_arguments(Study.run, locals())
        if progress is not None and not callable(progress) and not isinstance(progress, Watcher):
            raise SonoscaleError(f"progress = {progress!r:.80}: must be a Watcher, or a function that takes a line")
        if workers is not None and workers < 1:
            raise SonoscaleError(f"workers = {workers}: give at least one process")
        if retries < 0:
            raise SonoscaleError(f"retries = {retries}: give 0 or more")
        if executor not in ("local", "ray", "slurm"):
            from sonoscale.study._execute import check_executor

            check_executor(executor)
        watcher = progress if isinstance(progress, Watcher) else Lines(progress)
        run_study(
            self, executor=executor, workers=workers or self.config.workers, device=device, retries=retries,
            watcher=watcher, how=how,
        )  # fmt: skip
        return self

    def status(self) -> Status:
        """How far it is, see `sonoscale.study.status`.

        Raises:
            SonoscaleError: it was not begun.
        """
        from sonoscale.study._status import status

        return status(self.folder)

    def stop(self, *, wait: float = 120.0) -> int:
        """Ask all its drivers and runs to end, see `sonoscale.study.stop`.

        Raises:
            SonoscaleError: it was not begun, or runs have not ended in time.
        """
        from sonoscale.study._status import stop

        return stop(self.folder, wait=wait)

    def retry(self, runs: Iterable[str] = ()) -> list[str]:
        """Let runs that failed be tried again, see `sonoscale.study.retry`.

        Raises:
            SonoscaleError: it was not begun, or one of these runs has not failed.
        """
        from sonoscale.study._status import retry

        return retry(self.folder, runs)

    def add(
        self,
        *,
        values: Mapping[str, Sequence[Any]] | None = None,
        seeds: Iterable[int] = (),
        budgets: Iterable[int] = (),
        flops: Iterable[float] = (),
    ) -> Added:
        """Add values, seeds and budgets, see `sonoscale.study.add`.

        Raises:
            SonoscaleError: it was not begun, or there is nothing to add, or what is added is no valid run.
        """
        from sonoscale.study._add import add

        return add(self.folder, values=values, seeds=seeds, budgets=budgets, flops=flops)

    def report(self) -> Any:
        """Write the page and the figures into the folder, as `sonoscale.report` does, and return their paths.

        Raises:
            SonoscaleError: the study was not run, or a file is unreadable.
        """
        import sonoscale  # the report is a floor above, which the package offers
        from sonoscale.study._run import restore

        restore(self.folder)
        return sonoscale.report(self.folder)

    def runs(self) -> RunTable:
        """One row per run and checkpoint, as `fit`, `audit` and `plan` read it.

        Raises:
            SonoscaleError: no run is finished.
        """
        from sonoscale.laws import read_runs

        self._need("ledger.parquet")
        return read_runs(self.folder)

    @property
    def ledger(self) -> pa.Table:
        """One row per run, checkpoint, task, protocol and readout.

        Raises:
            SonoscaleError: no run is finished.
        """
        from sonoscale.study._ledger import read_ledger

        return read_ledger(self._need("ledger.parquet")).table

    @property
    def laws(self) -> dict[str, Any]:
        """What was fitted: the content of `laws.json`.

        Raises:
            SonoscaleError: no run is finished.
        """
        return json.loads(self._need("laws.json").read_text(encoding="utf-8"))

    @property
    def failures(self) -> list[Failure]:
        """Runs that could not be finished, and why."""
        return list(read_failures(self.folder).values())

    def plot(self, x: str = "rankme") -> Any:
        """Quality against a column of the ledger, a colour for each swept variable; returns matplotlib's axes.

        Raises:
            SonoscaleError: no run is finished, or there is no such column.
        """
        axes = new_axes()
        runs = self.runs()
        for axis in sorted(set(runs["axis"].tolist())):
            of = runs["axis"] == axis
            axes.plot(runs[x][of], runs["quality"][of], "o", label=axis)
        axes.set(xlabel=x, ylabel="quality", title=self.config.name)
        axes.legend()
        return axes

    @property
    def headline(self) -> str:
        """The design, and how far it is."""
        runs = self.planned()
        configurations = len({run.config_id for run in runs})
        finished = self._finished()
        return (
            f"Study {self.config.name}: {len(runs)} runs of {configurations} configurations, {finished} of them "
            f"trained, in {self.folder}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per run and checkpoint, or per planned run where none is finished."""
        if not (self.folder / "ledger.parquet").is_file():
            return [{"label": run.label, "axis": run.axis, "seed": run.config.seed} for run in self.planned()]
        names = ("label", "seed", "step", "params", "flops", "loss", "rankme", "quality")
        columns = [self.runs()[name].tolist() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """Name, folder, rows and laws."""
        done = (self.folder / "laws.json").is_file()
        return {
            "name": self.config.name, "folder": str(self.folder), "rows": self.rows(),
            "laws": self.laws if done else None,
        }  # fmt: skip

    @property
    def is_reported(self) -> bool:
        """Whether its page is there, and was made of the laws that are there."""
        page, laws = self.folder / "report.html", self.folder / "laws.json"
        return page.is_file() and laws.is_file() and page.stat().st_mtime_ns >= laws.stat().st_mtime_ns

    def _finished(self) -> int:
        """Runs that are in the ledger, or trained since."""
        names = {file.parent.name for file in self.folder.glob("runs/*/record.json")}
        if (self.folder / "ledger.parquet").is_file():
            names |= set(self.ledger["run"].to_pylist())
        return len(names)

    def _need(self, name: str) -> Path:
        file = self.folder / name
        if not file.is_file():
            raise SonoscaleError(f"{file} is missing: no run of this study is finished; run it first")
        return file
