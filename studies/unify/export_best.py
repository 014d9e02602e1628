"""The best encoder of the study for other tools: `python studies/unify/export_best.py DATA RESULTS OUT`.

DATA is the folder of audio and tasks, RESULTS that of the studies (`rerun.py`), OUT the Hugging Face folder to make. It
is scored on all tasks, as anyone would, and held against the ledger: `ledgers/best.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from rich.progress import track
from table import DOMAINS, STRATA, load

import sonoscale as so
from sonoscale.corpora import FolderTaskConfig
from sonoscale.files import write_json

HERE = Path(__file__).parent
PROTOCOLS = ("knn", "few-shot", "linear")
READOUT = "frequency+std"


class Exported:
    """The folder as its users load it: `AutoModel`, and its `pooler_output`."""

    sample_rate = 16_000
    layers = None

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
        self.extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
        self.identity = f"hf:{folder.resolve()}"
        self.min_samples = self.sample_rate // 5
        self.dim = self.embed(torch.zeros(1, self.sample_rate)).shape[1]

    @torch.inference_mode()
    def embed(self, wave: torch.Tensor) -> torch.Tensor:
        inputs = self.extractor(list(wave.numpy()), sampling_rate=self.sample_rate, return_tensors="pt")
        return self.model(**inputs).pooler_output

    def embed_layers(self, wave: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def embed_frames(self, wave: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    ledgers = {name: HERE / "ledgers" / f"{name}.parquet" for name in STRATA}
    final = load({name: path for name, path in ledgers.items() if path.is_file()}).final()
    top = int(np.nanargmax(final["quality"].astype(float)))
    run, stratum = final["run"][top], final["stratum"][top]
    so.export(
        options.results / stratum / "runs" / run, to="hf", out=options.out, readout=READOUT,
        force=options.out.exists(),
    )  # fmt: skip
    exported = Exported(options.out)
    rows: list[dict[str, Any]] = []
    for task in track([task for tasks in DOMAINS.values() for task in tasks]):
        named = FolderTaskConfig(kind="folder", name=task, metadata=Path("tasks") / task / "metadata.csv")
        found = so.probe(exported, named.load(options.data), protocols=list(PROTOCOLS), baselines=False)
        for score in found.scores:
            known = float(final[f"score:{task}:{score.result.protocol}"][top])
            rows.append({
                "task": task, "protocol": score.result.protocol, "score": score.result.score, "in_ledger": known,
            })  # fmt: skip
    apart = max(abs(row["score"] - row["in_ledger"]) for row in rows)
    write_json(HERE / "ledgers" / "best.json", {"run": run, "stratum": stratum, "apart": apart, "scores": rows})
    print(f"{run} of {stratum} -> {options.out}: {len(rows)} scores, at most {apart:.2g} from those of the ledger")


if __name__ == "__main__":
    main()
