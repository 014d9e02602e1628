"""One rule of rows, copies, clusters and direction: the one of the table of runs."""

import importlib
from typing import Any

import numpy as np
import pytest

import sonoscale
from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.laws._table import as_table
from sonoscale.laws.audit import audit

OPTIONS = {"rank": "rankme", "bootstrap": 80, "permutations": 80}


def audited(source, **options) -> Any:
    return audit(source, **(OPTIONS | options))


@pytest.fixture(scope="module")
def ledger():
    """Twelve configurations, two seeds, two checkpoints, two tasks: 96 rows."""
    rng = np.random.default_rng(0)
    rows = []
    for config in range(12):
        width = int(rng.integers(8, 64))
        for seed in range(2):
            for step in (100, 200):
                rank, quality = rng.uniform(5, 30), rng.uniform(0.3, 0.6)
                rows += [
                    {
                        "run": f"r{config}.{seed}", "config": f"c{config}", "label": f"c{config}", "seed": seed,
                        "step": step, "task": task, "protocol": "linear", "metric": "accuracy", "chance": 0.1,
                        "score": quality + shift, "params": width**2 * 12, "flops": 1e9 * width * step,
                        "clips_seen": 16 * step, "train_hours": 1.0 + config % 3, "loss": 0.9 - quality / 2,
                        "rankme": rank,
                    }
                    for task, shift in (("pitch", 0.1), ("event", -0.1))
                ]  # fmt: skip
    return as_table({name: [row[name] for row in rows] for name in rows[0]})


def written(ledger, path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: values.tolist() for name, values in ledger.items()}), path)
    return path


def test_a_ledger_is_read_as_its_study_reads_it(ledger, tmp_path):
    """Neither tasks nor checkpoints are seeds, whether the folder, its file or the table of its runs is audited."""
    file = written(ledger, tmp_path / "ledger.parquet")
    quality = [np.mean(ledger["score"][i : i + 2]) for i in range(0, 96, 2)]
    table = {name: ledger[name][::2] for name in ("config", "seed", "step", "params", "flops",
             "clips_seen", "train_hours", "loss", "rankme")}  # fmt: skip
    asked = audited(table | {"quality": quality}, y="quality", clusters="config", step="step")
    for source in (tmp_path, file, ledger, read_runs(file)):
        found = audited(source)
        assert (found.n, found.n_clusters, found.floor_quality.df) == (48, 12, 12)
        assert (found.verdict, found.reason) == (asked.verdict, asked.reason)
        assert found.spearman.value == pytest.approx(asked.spearman.value, abs=1e-12)
        assert found.runs.clusters_by == ("config",)


def encoders(**changes):
    """Twelve encoders, of which three pairs have the same size."""
    rng = np.random.default_rng(1)
    size = np.repeat([1e6, 2e6, 4e6, 5e6, 6e6, 7e6, 8e6, 9e6, 1e7], [2, 2, 2, 1, 1, 1, 1, 1, 1])
    return {
        "encoder": [f"e{i}" for i in range(12)],
        "params": size.tolist(),
        "rankme": np.exp(rng.normal(3, 0.3, 12)).tolist(),
        "accuracy": rng.uniform(0.3, 0.8, 12).tolist(),
    } | changes


def test_encoders_that_a_column_names_stay_what_they_are():
    named = audited(encoders())
    assert (named.n, named.n_clusters) == (12, 12)
    nameless = encoders()
    del nameless["encoder"]
    sized = audited(nameless)
    assert (sized.n, sized.n_clusters) == (12, 9)
    assert any("rows with the same params are taken as one configuration" in note for note in sized.notes)
    assert audited(nameless, clusters=()).n_clusters == 12


def test_copies_count_once_and_are_no_seeds():
    once = encoders()
    often = {name: [*values, *values[:6]] for name, values in once.items()}
    found = audited(often, clusters="encoder")
    assert (found.n, found.n_clusters) == (12, 12) == (len(read_runs(often)), read_runs(often).n_clusters)
    assert isinstance(found.floor_quality, str)
    assert found.spearman == audited(once).spearman
    assert any("rows 12, 13, 14, 15, 16, 17 repeat others" in note for note in found.notes)


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_frames_are_tables(library):
    frames = pytest.importorskip(library)
    make = frames.table if library == "pyarrow" else frames.DataFrame
    assert audited(make(encoders())).as_dict() == audited(encoders()).as_dict()


def test_missing_cells_are_refused_or_omitted():
    accuracy: list[Any] = encoders()["accuracy"]
    accuracy[4] = None
    with pytest.raises(SonoscaleError, match=r"accuracy, row 4: no value.*omit"):
        audited(encoders(accuracy=accuracy))
    found = audited(encoders(accuracy=accuracy), omit=True)
    assert (found.n, found.n_clusters) == (11, 11)
    assert any("row 4 left out" in note for note in found.notes)


def test_rows_held_out_are_not_audited():
    found = audited(encoders(), held_out="params>8e6")
    assert (found.n, found.n_clusters) == (10, 10)
    assert "2 rows are held out (held_out) and not audited" in found.notes
    kept = {name: values[:10] for name, values in encoders().items()}
    assert found.spearman == audited(kept).spearman


def test_a_score_that_falls_with_size_is_refused_unless_one_says_which_is_better():
    table = encoders(accuracy=np.linspace(0.9, 0.3, 12).tolist())
    with pytest.raises(
        SonoscaleError, match=r"accuracy falls with params .*though by its name it is a score.*higher_is"
    ):
        audited(table)
    assert audited(table, higher_is_better=True).target.higher_is_better
    assert not audited(table, higher_is_better=False).target.higher_is_better


def test_without_name_or_size_nothing_says_which_is_better():
    table = encoders(fish=encoders()["accuracy"])
    del table["params"]
    with pytest.raises(SonoscaleError, match="nothing says whether more fish is better"):
        audited(table, y="fish")
    along = table | {"width": encoders()["params"]}
    assert audited(along, y="fish", covariates="width").target.because.endswith("with width")


@pytest.mark.parametrize("option", [{"higher_is_better": False}, {"held_out": np.zeros(12, bool)}, {"clusters": ()}])
def test_a_table_that_was_read_takes_no_option_of_reading(option):
    runs = read_runs(encoders())
    assert audited(runs, y=None, group=(), omit=False).n == 12
    with pytest.raises(SonoscaleError, match=f"{next(iter(option))}: the table was read already"):
        audited(runs, **option)


def test_steps_need_configurations_that_have_several():
    steps = {"params": np.repeat([1e6, 2e6, 3e6, 4e6], 3), "step": np.tile([10, 20, 30], 4)}
    rng = np.random.default_rng(0)
    table = {**steps, "rankme": rng.uniform(5, 9, 12), "quality": rng.uniform(0.2, 0.8, 12)}
    found = audited(table, step="step")
    assert (found.n, found.n_clusters) == (12, 4)
    seeds = {name: np.tile(values, 2) for name, values in table.items()} | {"rankme": rng.uniform(5, 9, 24)}
    growing = seeds | {"flops": seeds["params"] * seeds["step"]}  # by size, each step is a configuration
    with pytest.raises(SonoscaleError, match=r"'step': no configuration has several steps .* params, flops .*clusters"):
        audited(growing, step="step")
    assert audited(growing, step="step", clusters="params").n_clusters == 4


def test_the_verb_is_offered_by_the_package():
    assert sonoscale.audit is audit
    floor: Any = importlib.import_module("sonoscale.laws.audit")
    assert floor(encoders(), **OPTIONS).verdict == audited(encoders()).verdict


def test_a_result_has_the_ways_out_of_all_results(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    found = audited(encoders(kind=list("ab" * 6)), family="kind", baselines="params")
    assert repr(found).startswith(found.headline)
    assert found.headline.startswith(found.words)
    rows = {row["evidence"]: row for row in found.rows()}
    rho = rows["Spearman's rho of rankme and accuracy"]
    assert (rho["value"], rho["low"], rho["high"]) == (found.spearman.value, found.spearman.low, found.spearman.high)
    assert {"models of accuracy", "baselines in the place of rankme"} <= set(found.tables())
    axes = found.plot()
    assert sum(len(points.get_offsets()) for points in axes.collections[:2]) == 12
    assert found.words.split(":")[0] in axes.get_title(loc="left")
    axes.figure.savefig(tmp_path / "audit.png")
    plt.close(axes.figure)


@pytest.mark.parametrize("omit", [False, True])
def test_columns_without_any_value_are_no_covariates(make, omit):
    table = make(20, 0)
    empty = {"flops": [None] * 20, "loss": np.full(20, np.nan), "score": [None] * 20}
    with_empty = audited(table | empty, rank="rank", y="quality", omit=omit)
    without = audited(table, rank="rank", y="quality")
    assert with_empty.covariates == without.covariates == ("log params", "log hours")
    assert with_empty.n_clusters == 20
    assert (with_empty.verdict, with_empty.reason) == (without.verdict, without.reason)
    assert "flops, loss: no row has a value, not adjusted for" in with_empty.notes
    assert not any("no row has a value" in note for note in without.notes)


def test_a_ledger_without_flops_and_loss_is_audited(ledger, tmp_path):
    """As studies of other people's encoders write it."""
    none = dict.fromkeys(("flops", "loss"), np.full(96, np.nan))
    found = audited(written(ledger | none, tmp_path / "ledger.parquet"))
    assert found.n_clusters == 12
    assert found.covariates == ("log params", "log train_hours")


def test_an_empty_column_that_is_asked_for_is_named(make):
    table = make(20, 0) | {"flops": [None] * 20}
    for omit in (False, True):
        with pytest.raises(SonoscaleError, match="no row has a value in flops"):
            audited(table, rank="rank", y="quality", covariates="flops", omit=omit)
