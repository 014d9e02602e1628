"""Studies of what exists already, encoders or somebody's table of runs: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.study._encoders_config import EncoderStudyConfig
from sonoscale.study._imported import ImportedStudyConfig
from sonoscale.study._study import Study
from sonoscale.study._watch import Lines, Watcher

if TYPE_CHECKING:
    from sonoscale.study._add import Added
    from sonoscale.study._design import PlannedRun
    from sonoscale.study._plan_result import StudyPlan

__all__ = ["EncoderStudy", "ImportedStudy"]


class _GivenStudy(Study):
    """A study that trains nothing."""

    def planned(self) -> list[PlannedRun]:
        """None: nothing is trained."""
        return []

    def plan(self, **_: Any) -> StudyPlan:
        """Refused: nothing is trained.

        Raises:
            SonoscaleError: always.
        """
        raise self._refused()

    def add(self, **_: Any) -> Added:
        """Refused: what it is of is named in its file or table.

        Raises:
            SonoscaleError: always.
        """
        raise self._refused()

    def _refused(self) -> SonoscaleError:
        raise NotImplementedError


@dataclass(frozen=True, repr=False, eq=False)
class EncoderStudy(_GivenStudy):
    """A study of existing encoders, of which nothing is trained. Made by `study`, of a file with `encoders`.

    Attributes:
        config: which encoders, on what.
        folder: where its files are, as of a `Study`.
        cache: folder of embeddings, shared by studies.
        begun_with: the ledger of the same study in another place.
    """

    config: EncoderStudyConfig

    def run(
        self,
        *,
        executor: str = "local",
        workers: int | None = None,
        device: str = "auto",
        retries: int = 1,
        progress: Watcher | Callable[[str], object] | None = None,
        **how: Any,
    ) -> EncoderStudy:
        """Measure, score and fit; what is finished is reused, so that the same call resumes.

        Encoders are measured one after the other by this process; several calls, also on other machines that share
        the folder, share them. One that fails is in `failures`, is tried again by the next call, and does not stop the
        others.

        Arguments:
            executor: `local`.
            workers: threads, or processes, that decode. None: as the configuration says, or one per core.
            device: `auto` (a GPU if there is one), `cpu` or `cuda`.
            retries: has no effect here.
            progress: is notified, as of a `Study`.
            how: no option is taken.

        Raises:
            SonoscaleError: bad input, a full disk, another executor.
        """
        from sonoscale.study._encoders_study import run_encoders

        check_arguments(EncoderStudy.run, locals())
        if executor != "local" or how:
            raise SonoscaleError(
                f"executor = {executor!r}, options {sorted(how)}: existing encoders are measured by the calling "
                "process, without options; call it on several machines to share them"
            )
        if workers is not None and workers < 1:
            raise SonoscaleError(f"workers = {workers}: give at least one thread")
        run_encoders(
            self.config, self.folder, self.cache, begun_with=self.begun_with, workers=workers or self.config.workers,
            device=device, watcher=progress if isinstance(progress, Watcher) else Lines(progress),
        )  # fmt: skip
        return self

    def _refused(self) -> SonoscaleError:
        return SonoscaleError(
            f"{self.config.name}: is of existing encoders, and trains none: name others in its file, and run it again"
        )

    @property
    def headline(self) -> str:
        """How many encoders, and how far it is."""
        families = len({one.family for one in self.config.encoders})
        return (
            f"Study {self.config.name}: {len(self.config.encoders)} encoders of {families} families, "
            f"{self._finished()} of them measured, in {self.folder}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per encoder that is measured, or per encoder of the file where none is."""
        if not (self.folder / "ledger.parquet").is_file():
            return [{"label": one.name, "family": one.family} for one in self.config.encoders]
        names = ("label", "family", "params", "train_hours", "rankme", "quality")
        columns = [self.runs()[name].tolist() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, repr=False, eq=False)
class ImportedStudy(_GivenStudy):
    """A table of runs that somebody else has trained. Made by `sonoscale.study.import_ledger`.

    Attributes:
        config: where it is from.
        folder: where its files are, as of a `Study`.
        cache: not used.
        begun_with: not used.
    """

    config: ImportedStudyConfig

    def run(self, **_: Any) -> ImportedStudy:
        """Refused: nothing is trained here.

        Raises:
            SonoscaleError: always.
        """
        raise self._refused()

    def _refused(self) -> SonoscaleError:
        return SonoscaleError(
            f"{self.folder}: was imported from {self.config.imported}, and has no runs to train: change that table and "
            "import it again, or report this study"
        )

    @property
    def headline(self) -> str:
        """How many runs, and of what."""
        runs = self.runs()
        return f"Study {self.config.name}: {runs.counts}, imported from {self.config.imported}, in {self.folder}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per run and checkpoint."""
        runs = self.runs()
        names = ("label", "family", "seed", "step", "params", "flops", "rankme", "quality")
        columns = [runs[name].tolist() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
