"""From a study to its results: prepare, share out what is not done yet, build the ledger, fit."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale._yaml import read_yaml
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json, write_text
from sonoscale.study._failures import forget_failures, read_failures
from sonoscale.study._stamp import is_stamped, stamp
from sonoscale.study._watch import Watcher

if TYPE_CHECKING:
    from sonoscale.study._config import StudyConfig
    from sonoscale.study._encoders_config import AnyStudyConfig
    from sonoscale.study._prepare import RunJob
    from sonoscale.study._study import Study

__all__ = ["restore", "run_study"]

LEDGER, OTHERS = "ledger.parquet", "ledger-others.parquet"
LEDGER_EVERY = 30.0
"""Seconds between two ledgers of a study that is under way, at the least."""
OURS = ("study.yaml", LEDGER, "laws.json", "report.html", "baseline.json", "failed.json", "provenance.json")


def run_study(
    study: Study, *, executor: str, workers: int | None, device: str, retries: int, watcher: Watcher,
    how: dict[str, Any],
) -> None:  # fmt: skip
    """Train, probe and fit what is not done yet.

    Arguments:
        study: what, and where.
        executor, workers, device, retries: see `Study.run`.
        watcher: is notified.
        how: what only this executor takes.
    """
    out = study.folder
    runs = study.planned()
    watcher.planned(runs)
    if is_stamped(study.config, out) and not read_failures(out):
        watcher.started([], len(_names(out)))
        return
    from sonoscale.extras import need

    need("torch", what="a study")
    from sonoscale.processes import available_cores, remove_leftovers
    from sonoscale.study import _execute
    from sonoscale.study._ledger import build_ledger, holds, read_ledger, write_ledger
    from sonoscale.study._plan_file import planned_runs, write_plan
    from sonoscale.study._prepare import continued, prepare
    from sonoscale.study._quality import check_ceiling, hold_against, register_rule
    from sonoscale.study._worker import is_finished

    started = time.perf_counter()
    check_place(out, study.config)
    where = _execute.open_executor(executor, workers=workers, device=device, folder=out, **how)
    config = resolved(study.config, out, where.device)
    if config is not study.config:
        from sonoscale.study._design import expand

        runs = expand(config)
    check_ceiling(config)
    cores = min(workers or available_cores(), available_cores())
    jobs = prepare(config, runs, out.absolute(), study.cache.absolute(), cores, watcher.preparing)
    make_folder(out / "runs")
    if study.begun_with is not None and not (out / LEDGER).exists():
        shutil.copyfile(study.begun_with, out / LEDGER)
    remove_leftovers(out / "runs")
    write_config(config, out)
    earlier = read_ledger(out / LEDGER) if (out / LEDGER).is_file() else None
    others = read_ledger(out / OTHERS).by_run() if (out / OTHERS).is_file() else {}
    kept = others | (earlier.by_run() if earlier else {})
    _set_aside(earlier, jobs, out)
    known = {job.folder.name for job in jobs if holds(kept.get(job.folder.name, []), job)}
    remaining = [job for job in jobs if job.folder.name not in known and not is_finished(job)]
    if remaining:
        remaining = continued(remaining)
    reused = len(jobs) - len(remaining)
    register_rule(out, config.quality.rule(), finished=reused)
    planned = planned_runs(jobs)
    write_plan(out, planned)
    failures, remaining = _hopeless(out, remaining)
    watcher.started(remaining, reused)
    about = {"study": config.model_dump(mode="json"), "runs": planned}
    if remaining:
        growing = _Growing(jobs, kept, out, about, config.quality.rule().text)
        try:
            failures += _execute.run_jobs(
                remaining, where, watcher, folder=out, retries=retries, device=where.device, done=growing.run_done
            )
        except BaseException:
            growing.write()
            raise
    else:
        where.close()
    write_json(out / "failed.json", [asdict(failure) for failure in failures])
    against = hold_against(config, jobs, study.cache, cores, watcher.preparing)
    ledger = build_ledger(jobs, against, kept)
    from sonoscale.provenance import provenance
    from sonoscale.study._baseline import logmel_baseline

    baseline = logmel_baseline(jobs, against.floor)
    write_json(out / "baseline.json", baseline)
    facts = provenance("torch", "numpy", "scipy", "pyarrow") | {
        "seconds": round(time.perf_counter() - started, 1),
        "runs_trained": len(remaining) - sum(one.run in {job.folder.name for job in remaining} for one in failures),
        "runs_reused": reused,
        "executor": executor,
    }
    if ledger.num_rows:
        about |= {"baseline": baseline, "provenance": facts, "failed": [asdict(failure) for failure in failures]}
        write_ledger(ledger, out / LEDGER, about)
        write_json(out / "laws.json", laws_of(ledger, config, baseline, out))
    else:  # what is there was made of other runs
        for name in (LEDGER, "laws.json"):
            (out / name).unlink(missing_ok=True)
    write_json(out / "provenance.json", facts)
    if ledger.num_rows and not failures:
        stamp(study.config, out)


def laws_of(ledger: Any, config: AnyStudyConfig, baseline: dict[str, Any], out: Path) -> dict[str, Any]:
    """The content of `laws.json`."""
    from sonoscale.laws import read_runs
    from sonoscale.study._baseline import baseline_note
    from sonoscale.study._laws import fit_laws
    from sonoscale.study._quality import add_quality

    laws = fit_laws(ledger, config.law)
    runs = read_runs(ledger.to_pydict())
    found = add_quality(laws, ledger, out)
    if baseline:
        final = runs["quality"][runs["is_final"].astype(bool)].tolist()
        laws["baseline"] = baseline_note(baseline, final, found.weights)
    return laws


def restore(folder: Path, ledger: Path | None = None) -> None:
    """Write what a study's folder lacks besides its ledger, from the ledger: the study file, laws, facts.

    Arguments:
        folder: of the study.
        ledger: the ledger, if it is not in the folder.

    Raises:
        SonoscaleError: the ledger is damaged.
    """
    file = ledger or folder / LEDGER
    if not file.is_file() or all((folder / name).is_file() for name in OURS if name not in (LEDGER, "report.html")):
        return
    from sonoscale.config import validate
    from sonoscale.study._encoders_config import model_of
    from sonoscale.study._ledger import read_ledger

    found = read_ledger(file)
    make_folder(folder)
    for name in ("baseline", "provenance", "failed"):
        if not (folder / f"{name}.json").is_file() and found.about.get(name) is not None:
            write_json(folder / f"{name}.json", found.about[name])
    if not found.about.get("study"):
        return
    config = validate(model_of(found.about["study"]), found.about["study"], source=str(file))
    if not (folder / "study.yaml").is_file():
        write_config(config, folder)
    if not (folder / "runs.json").is_file():
        from sonoscale.study._plan_file import write_plan

        write_plan(folder, found.about.get("runs") or [])
    if ledger is None and not (folder / "laws.json").is_file():
        write_json(folder / "laws.json", laws_of(found.table, config, found.about.get("baseline") or {}, folder))


def check_place(out: Path, config: AnyStudyConfig) -> None:
    """Whether results may be written there: nobody else's would be replaced.

    Raises:
        SonoscaleError: there are files of the same names that no study, or another one, has written.
    """
    from sonoscale.study._ledger import read_ledger

    if (out / LEDGER).is_file():
        name = (read_ledger(out / LEDGER).about.get("study") or {}).get("name", config.name)
    elif (out / "study.yaml").is_file():
        try:
            content = read_yaml(out / "study.yaml")
        except SonoscaleError:
            content = None
        name = content.get("name") if isinstance(content, dict) else None
        if name is None:
            raise SonoscaleError(f"{out / 'study.yaml'}: no study's, and would be replaced; name another folder")
    else:
        foreign = [name for name in OURS if (out / name).exists()]
        if foreign and not (out / "runs").is_dir():
            raise SonoscaleError(
                f"{out / foreign[0]}: was written by something else, and would be replaced; name another folder"
            )
        return
    if name != config.name:
        raise SonoscaleError(f"{out}: holds the study {name!r}, and not {config.name!r}; name another folder")


def resolved(config: StudyConfig, out: Path, device: str) -> StudyConfig:
    """The study with the precision that it was begun with, which another machine would choose otherwise."""
    if config.train.precision != "auto":
        return config
    from sonoscale.pretrain._runtime import find_precision

    begun: Any = None
    if (out / LEDGER).is_file():
        from sonoscale.study._ledger import read_ledger

        begun = read_ledger(out / LEDGER).about.get("study")
    elif (out / "study.yaml").is_file():
        begun = read_yaml(out / "study.yaml")
    train = begun.get("train") if isinstance(begun, dict) else None
    precision = train.get("precision") if isinstance(train, dict) else None
    if precision in (None, "auto"):
        precision = find_precision("auto", device)
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": precision})})


def _names(out: Path) -> list[str]:
    from sonoscale.study._plan_file import read_plan

    return [run["run"] for run in read_plan(out)]


def write_config(config: AnyStudyConfig, out: Path) -> None:
    import yaml

    write_text(out / "study.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _hopeless(out: Path, remaining: list[RunJob]) -> tuple[list[Any], list[RunJob]]:
    """Failures that would be the same again, and the jobs to be tried, of which earlier failures are forgotten."""
    failed = read_failures(out, [job.folder.name for job in remaining])
    diverged = {run: each for run, each in failed.items() if each.reason == "diverged"}
    forget_failures(out, [run for run in failed if run not in diverged])
    return list(diverged.values()), [job for job in remaining if job.folder.name not in diverged]


class _Growing:
    """The ledger of what is finished, while the rest is still under way: a study can continue from it elsewhere.

    Arguments:
        jobs, kept: see `build_ledger`.
        out: folder of the study.
        about: what the ledger says of the study.
        rule: of quality, as `QualityRule.text` has it.
    """

    def __init__(self, jobs: list[RunJob], kept: dict[str, Any], out: Path, about: dict[str, Any], rule: str) -> None:
        self._jobs, self._kept, self._out, self._about, self._rule = jobs, kept, out, about, rule
        self._next = 0.0

    def run_done(self) -> None:
        """Write it, unless that was just done: less than a fiftieth of the time goes into it."""
        if (now := time.monotonic()) >= self._next:
            self.write()
            self._next = time.monotonic() + max(LEDGER_EVERY, 50 * (time.monotonic() - now))

    def write(self) -> None:
        from sonoscale.study._ledger import build_ledger, write_ledger
        from sonoscale.study._quality import HeldAgainst

        try:
            ledger = build_ledger(self._jobs, HeldAgainst(rule=self._rule), self._kept)
            if ledger.num_rows:
                write_ledger(ledger, self._out / LEDGER, self._about)
        except (OSError, SonoscaleError):  # such as a full disk: the folders of the runs are there
            pass


def _set_aside(earlier: Any, jobs: list[RunJob], out: Path) -> None:
    """Rows of an earlier ledger that this study does not ask for are kept in `ledger-others.parquet`."""
    import pyarrow as pa

    from sonoscale.study._ledger import read_ledger, write_ledger

    if earlier is None:
        return
    wanted = {job.folder.name for job in jobs}
    others = earlier.table.filter(pa.array([run not in wanted for run in earlier.table["run"].to_pylist()]))
    if not others.num_rows:
        return
    file = out / OTHERS
    if file.is_file():
        before = read_ledger(file).table
        new = set(others["run"].to_pylist())
        before = before.filter(pa.array([run not in new for run in before["run"].to_pylist()]))
        others = pa.concat_tables([before, others])
    write_ledger(others, file, {"study": earlier.about.get("study")})
