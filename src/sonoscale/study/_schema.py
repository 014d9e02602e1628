"""The columns of a study's ledger: name, type, unit and meaning. `docs/ledger.md` is made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ADDED", "COLUMNS", "LEDGER_VERSION", "Column", "arrow_schema", "ledger_page"]

LEDGER_VERSION = 2
"""Raised when a column gets another name or meaning; new columns alone do not raise it."""

Kind = Literal["string", "int64", "double", "bool"]


@dataclass(frozen=True)
class Column:
    """A column of the ledger.

    Attributes:
        name: by which laws, reports and users ask for it.
        kind: type, as Arrow calls it.
        meaning: in a line.
        unit: of numbers; empty where they have none.
        of: what it depends on: the run, the checkpoint, or the score.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    of: Literal["run", "checkpoint", "score"] = "run"


def _columns() -> tuple[Column, ...]:
    def of(what: Literal["run", "checkpoint", "score"], rows: list[tuple[str, Kind, str, str]]) -> list[Column]:
        return [Column(name, kind, meaning, unit, what) for name, kind, unit, meaning in rows]

    return (
        *of("run", [
            ("run", "string", "", "name of the run: a digest of all that decides its outcome, and its folder"),
            ("config", "string", "", "digest of the same without the seed: runs that share it differ in the seed only"),
            ("family", "string", "", "base configuration varied, by default named as the study; or of encoders"),
            ("label", "string", "", "what differs from the base, in words"),
            ("axis", "string", "", "the swept key that differs: `base` for none, `several` for more; or the family"),
            ("seed", "int64", "", "of initial weights, order of clips, crops, masks and views"),
            ("width", "int64", "", "of the encoder"),
            ("dim", "int64", "", "of the embedding"),
            ("depth", "int64", "blocks", "of the encoder"),
            ("heads", "int64", "", "of attention; missing for networks without"),
            ("n_mels", "int64", "bands", "of the log-mels"),
            ("patch_mels", "int64", "bands", "of a patch"),
            ("patch_frames", "int64", "frames", "of a patch"),
            ("backbone", "string", "", "kind of network"),
            ("objective", "string", "", "of the pre-training"),
            ("loss_of", "string", "", "what the loss depends on besides encoder, input and mask ratio"),
            ("mask_ratio", "double", "", "share of the patches that is hidden; missing for objectives without"),
            ("clip_seconds", "double", "s", "length of a training example"),
            ("batch_size", "int64", "examples", "of a step"),
            ("lr", "double", "", "largest learning rate, at the width that it holds for"),
            ("train_clips", "int64", "clips", "different clips that there are to train on"),
            ("train_hours", "double", "h", "of audio in them; of existing encoders, hours of pre-training"),
            ("params", "int64", "", "parameters of the encoder"),
            ("params_decoder", "int64", "", "parameters that predict what is hidden, not kept after pre-training"),
            ("params_teacher", "int64", "", "parameters of the teacher, not trained by gradients"),
            ("params_head", "int64", "", "parameters of the projector of a contrast"),
            ("device", "string", "", "that it was trained on"),
            ("precision", "string", "", "of its forward pass"),
            ("init", "string", "", "digest of the encoder that it began with; missing where weights were drawn"),
            ("frozen_layers", "int64", "", "layers of the encoder that were not trained, from the first"),
            ("rankme_start", "double", "", "RankMe before the first step"),
            ("rankme_centred_start", "double", "", "centred RankMe before the first step"),
            ("configuration", "string", "", "the whole configuration of the run, as JSON"),
        ]),
        *of("checkpoint", [
            ("step", "int64", "steps", "of the checkpoint: the end of a budget; 0 of existing encoders"),
            ("budget_steps", "int64", "steps", "the budget whose decay the checkpoint ends"),
            ("is_final", "bool", "", "whether it is the largest budget of its run"),
            ("examples_seen", "int64", "examples", "trained on, repetitions counted"),
            ("clips_seen", "int64", "clips", "in them, repetitions counted"),
            ("hours_seen", "double", "h", "of audio in them, repetitions counted"),
            ("flops", "double", "FLOP", "of the training up to here, decoder, teacher and head included"),
            ("flops_encoder", "double", "FLOP", "of the encoder's part of it"),
            ("seconds", "double", "s", "that the training took up to here, with its branches"),
            ("loss", "double", "", "on held-out clips"),
            ("rankme", "double", "", "effective rank of the embeddings of the held-out clips (uncentred)"),
            ("rankme_low", "double", "", "lower end of its interval"),
            ("rankme_high", "double", "", "upper end of its interval"),
            ("rankme_centred", "double", "", "the same of the centred embeddings"),
            ("rankme_centred_low", "double", "", "lower end of its interval"),
            ("rankme_centred_high", "double", "", "upper end of its interval"),
            ("rank_n", "int64", "clips", "that the ranks are measured on"),
        ]),
        *of("score", [
            ("task", "string", "", "by its name in the study"),
            ("task_id", "string", "", "digest of its clips, labels and folds, the protocol's version and the readout"),
            ("protocol", "string", "", "by which it was scored, with its version"),
            ("readout", "string", "", "what was read of the encoder's tokens"),
            ("layer", "int64", "", "of the encoder that was read, 0 the first; missing for the last, after its norm"),
            ("metric", "string", "", "of the score"),
            ("score", "double", "", "higher is better"),
            ("score_low", "double", "", "lower end of its interval"),
            ("score_high", "double", "", "upper end of its interval"),
            ("chance", "double", "", "score of guessing"),
            ("floor_untrained", "double", "", "score of the same network with weights as they are drawn"),
            ("floor_logmel", "double", "", "score of log-mel statistics, read out alike"),
            ("ceiling", "double", "", "score of the encoder that the study names as its ceiling"),
            ("quality_rule", "string", "", "how quality is made of the scores, as JSON"),
            ("rankme_readout", "double", "", "RankMe of what was read out, on the held-out clips"),
            ("rankme_readout_low", "double", "", "lower end of its interval"),
            ("rankme_readout_high", "double", "", "upper end of its interval"),
            ("rankme_centred_readout", "double", "", "centred RankMe of the same"),
            ("rankme_centred_readout_low", "double", "", "lower end of its interval"),
            ("rankme_centred_readout_high", "double", "", "upper end of its interval"),
        ]),
    )  # fmt: skip


COLUMNS = _columns()
"""All columns, in their order."""

ADDED = ("init", "frozen_layers")
"""Columns that earlier ledgers of this version have not, and which are missing in their rows."""


def arrow_schema(names: list[str]) -> pa.Schema:
    """The types of these columns, each with its meaning and unit; what is no column of `COLUMNS` is refused.

    Arguments:
        names: of columns.
    """
    import pyarrow as pa

    known = {column.name: column for column in COLUMNS}
    kinds = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
    return pa.schema(
        [
            pa.field(name, kinds[known[name].kind], metadata={"meaning": known[name].meaning, "unit": known[name].unit})
            for name in names
        ]
    )


def ledger_page() -> str:
    """`docs/ledger.md`."""
    lines = [
        "# The ledger",
        "",
        "Made by `python docs/ledger.py` from `src/sonoscale/study/_schema.py`.",
        "",
        f"`ledger.parquet` (schema {LEDGER_VERSION}) holds all that a study knows: one row per run, checkpoint, task, "
        "protocol, readout and layer. With this file alone a study can be reported, audited, extended and continued on "
        "another machine; runs in it are not trained again, whether or not their folders are there. Laws, audits and "
        "plans read it as they read any table (`sonoscale fit ledger.parquet --x params`), and so does any reader of "
        "Parquet.",
        "",
        "Its pages have checksums, which are verified whenever it is read here. The metadata of the file holds, under "
        "`sonoscale`, a JSON text: `version` of the schema, `study` (the resolved study file), `runs` (all that are "
        "planned), `baseline`, `provenance`, `failed`; and under `sonoscale.sha256` the digest of that text. Each "
        "column has its meaning and unit as metadata too.",
        "",
        "A study adds a column for each further estimator of its file (`estimators`), and one of existing encoders "
        "(section `encoders`) for each key of the `columns` of its encoders. What is not known of encoders, such as "
        "FLOPs, is missing. With `layers` in its file there are rows of layers before the last too: what laws and "
        "reports read of a run are the rows whose `layer` is missing, those of its output.",
    ]
    titles = {"run": "Of the run", "checkpoint": "Of the checkpoint", "score": "Of the score"}
    for of, title in titles.items():
        lines += ["", f"## {title}", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.kind} | {c.unit} | {c.meaning} |" for c in COLUMNS if c.of == of]
    return "\n".join(lines) + "\n"
