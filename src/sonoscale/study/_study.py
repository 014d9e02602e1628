"""A study from its file to its folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.arguments import check_arguments
from sonoscale.config import load_config
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.files import default_cache, make_folder, write_json, write_text
from sonoscale.results import Result
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun, expand
from sonoscale.study._watch import Failure, Lines, Watcher

EXECUTORS = ("local", "ray", "slurm")

if TYPE_CHECKING:
    import pyarrow as pa

    from sonoscale.laws import RunTable

__all__ = ["Study", "study"]


def study(
    source: str | os.PathLike[str] | StudyConfig,
    *,
    out: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    set: str | Iterable[str] | Mapping[str, Any] = (),  # noqa: A002 (the command's word)
) -> Study:
    """A study, to be run or to be read: `study("study.yaml").run()`.

    Arguments:
        source: a YAML file; the folder of a study that was run before; or a configuration.
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
        >>> [run.label for run in widths.plan() if run.config.seed == 0]
        ['base', 'width=8', 'width=16', 'width=32']
    """
    check_arguments(study, locals())
    folder = None
    if isinstance(source, StudyConfig):
        if set:
            raise SonoscaleError(f"set = {list(set)}: overrides a file's keys; change the configuration itself")
        config = source
        expand(config)  # refuses at once what cannot be run
    else:
        path = Path(source)
        if path.is_dir():
            path, folder = path / "study.yaml", path
        config = load_config(StudyConfig, path, set)
        if folder is None or set:
            expand(config)
    where = Path(out) if out is not None else folder or Path("results") / config.name
    return Study(config, where, Path(cache) if cache is not None else default_cache())


@dataclass(frozen=True, repr=False, eq=False)
class Study(Result):
    """A designed sweep of encoders: its runs, its ledger, its laws. Made by `study`.

    Attributes:
        config: what is swept.
        folder: where its files are: `study.yaml`, `runs/`, `ledger.parquet`, `laws.json`, `baseline.json`,
            `quality.json`, `failed.json`, `provenance.json` and the report.
        cache: folder of computed log-mels.
    """

    config: StudyConfig
    folder: Path
    cache: Path

    def plan(self) -> list[PlannedRun]:
        """All runs of the design.

        Raises:
            SonoscaleError: a swept key does not exist, or a point is not a valid run (named).
        """
        return expand(self.config)

    def run(
        self,
        *,
        executor: str = "local",
        workers: int | None = None,
        device: str = "auto",
        retries: int = 1,
        progress: Watcher | Callable[[str], object] | None = None,
    ) -> Study:
        """Train, probe and fit; finished runs are reused, so that the same call resumes.

        Several calls, also on other machines that share the folder, share the runs: each is trained by one of them.

        Arguments:
            executor: where runs are done: `local`, in processes of this machine.
            workers: runs at once. None: as the configuration says, or one per core or, on GPUs, four at most to each.
            device: `auto` (GPUs if there are any), `cpu` or `cuda`.
            retries: how often a run that was killed, ran out of memory or failed otherwise is tried again; one that
                diverged is not.
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
        need("torch", what="a study")
        if workers is not None and workers < 1:
            raise SonoscaleError(f"workers = {workers}: give at least one process")
        if retries < 0:
            raise SonoscaleError(f"retries = {retries}: give 0 or more")
        if executor not in EXECUTORS:
            raise SonoscaleError(f"executor = {executor!r}: must be one of {', '.join(EXECUTORS)}")
        watcher = progress if isinstance(progress, Watcher) else Lines(progress)
        _run(self, executor, workers or self.config.workers, device, retries, watcher)
        return self

    def report(self) -> Any:
        """Write the page and the figures into the folder, as `sonoscale.report` does, and return their paths.

        Raises:
            SonoscaleError: the study was not run, or a file is unreadable.
        """
        import sonoscale  # the report is a floor above, which the package offers

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
        import pyarrow.parquet as pq

        return pq.read_table(self._need("ledger.parquet"))

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
        file = self.folder / "failed.json"
        return [Failure(**each) for each in json.loads(file.read_text())] if file.is_file() else []

    def plot(self, x: str = "rankme") -> Any:
        """Quality against a column of the ledger, a colour for each swept variable; returns matplotlib's axes.

        Raises:
            SonoscaleError: no run is finished, or there is no such column.
        """
        axes = need("matplotlib.pyplot", extra="report", what="a figure").subplots()[1]
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
        runs = self.plan()
        configurations = len({run.config_id for run in runs})
        finished = len(list(self.folder.glob("runs/*/record.json")))
        return (
            f"Study {self.config.name}: {len(runs)} runs of {configurations} configurations, {finished} of them "
            f"trained, in {self.folder}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per run and checkpoint, or per planned run where none is finished."""
        if not (self.folder / "ledger.parquet").is_file():
            return [{"label": run.label, "axis": run.axis, "seed": run.config.seed} for run in self.plan()]
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

    def _need(self, name: str) -> Path:
        file = self.folder / name
        if not file.is_file():
            raise SonoscaleError(f"{file} is missing: no run of this study is finished; run it first")
        return file


_RESULTS = ("ledger.parquet", "laws.json", "report.html")


def _run(study: Study, executor: str, workers: int | None, device: str, retries: int, watcher: Watcher) -> None:
    import yaml

    from sonoscale.processes import available_cores, remove_leftovers
    from sonoscale.provenance import provenance
    from sonoscale.study import _execute
    from sonoscale.study._baseline import baseline_note, logmel_baseline
    from sonoscale.study._failures import forget_failures, read_failures
    from sonoscale.study._laws import fit_laws
    from sonoscale.study._ledger import build_ledger, write_ledger
    from sonoscale.study._prepare import continued, prepare
    from sonoscale.study._quality import add_quality, check_ceiling, hold_against, register_rule
    from sonoscale.study._worker import is_finished

    started = time.perf_counter()
    config, out = study.config, study.folder
    runs = study.plan()
    watcher.planned(runs)
    check_ceiling(config)
    device = _execute.find_device(device) if executor == "local" else device
    cores = workers or available_cores()
    jobs = prepare(config, runs, out, study.cache, cores, watcher.preparing)
    make_folder(out / "runs")
    remove_leftovers(out / "runs")
    write_text(out / "study.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    remaining = continued([job for job in jobs if not is_finished(job)])
    reused = len(jobs) - len(remaining)
    register_rule(out, config.quality.rule(), finished=reused)
    hopeless = {run: each for run, each in read_failures(out).items() if each.reason == "diverged"}
    diverged = [hopeless[job.folder.name] for job in remaining if job.folder.name in hopeless]
    remaining = [job for job in remaining if job.folder.name not in hopeless]
    forget_failures(out, [job.folder.name for job in remaining if read_failures(out, [job.folder.name])])
    watcher.started(remaining, reused)
    failures = diverged
    if remaining:
        where = _execute.open_executor(executor, workers=workers, device=device, folder=out)
        failures = diverged + _execute.run_jobs(remaining, where, watcher, folder=out, retries=retries, device=device)
    write_json(out / "failed.json", [asdict(failure) for failure in failures])
    against = hold_against(config, jobs, study.cache, cores, watcher.preparing)
    ledger = build_ledger(jobs, against)
    laws = fit_laws(ledger, config.law)
    baseline = logmel_baseline(jobs, against.floor)
    write_json(out / "baseline.json", baseline)
    if ledger.num_rows:
        write_ledger(ledger, out / "ledger.parquet")
        laws["baseline"] = baseline_note(baseline, _final_quality(study))
        add_quality(laws, ledger, out)
        write_json(out / "laws.json", laws)
    else:  # what is there was made of other runs
        for stale in [*(out / name for name in _RESULTS), *(out / "figures").glob("*.png")]:
            stale.unlink(missing_ok=True)
    facts = provenance("torch", "numpy", "scipy", "pyarrow") | {
        "seconds": round(time.perf_counter() - started, 1),
        "runs_trained": len(remaining) - len(failures) + len(diverged),
        "runs_reused": reused,
    }
    write_json(out / "provenance.json", facts)


def _final_quality(study: Study) -> list[float]:
    """Quality of each run at its largest budget."""
    runs = study.runs()
    return runs["quality"][runs["is_final"].astype(bool)].tolist()
