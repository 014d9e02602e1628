"""All of the study again, from audio to FINDINGS.md: `python studies/unify/rerun.py DATA` (about 8 hours on one core).

DATA is a folder of audio with `pool/` and `tasks/`, as the study files name them. Studies run in `results/unify/NAME`,
can be interrupted, and go on with the same command; what is finished is not trained again. Their ledgers are then
written to `ledgers/`, without the names of folders of this machine, the layers are measured, and the analysis is run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from table import STRATA

from sonoscale.study._ledger import read_ledger, write_ledger

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of audio and tasks")
    parser.add_argument("--results", type=Path, default=Path("results/unify"), help="where the studies run")
    parser.add_argument("--publish", action="store_true", help="do not train: write the ledgers that there are")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    data, results = options.data.resolve(), options.results.resolve()
    for name in () if options.publish else STRATA:
        words = [sys.executable, "-m", "sonoscale", "study", "run", str(HERE / f"{name}.yaml")]
        words += ["--out", str(results / name), "--workers", str(options.workers)]
        if name != "procedural":  # its audio is synthesised
            words += ["--set", f"data.root={data}"]
        if code := subprocess.run(words, cwd=data if name == "procedural" else None, check=False).returncode:
            sys.exit(code)
    names = {str(data): "data", str(results): "results", str(HERE.parents[1]): "."}
    for name in STRATA:
        file = results / name / "ledger.parquet"
        if file.is_file():
            publish(file, HERE / "ledgers" / file.with_stem(name).name, names)
    for script in (["layers.py", str(results / "variables")], ["analyse.py"]) if not options.publish else ():
        subprocess.run([sys.executable, str(HERE / script[0]), *script[1:]], check=True)


def publish(file: Path, to: Path, names: dict[str, str]) -> None:
    """Write a ledger anew, with other names for some folders."""
    ledger = read_ledger(file)

    def renamed(text: str) -> str:
        for name, other in names.items():
            text = text.replace(name, other)
        return text

    table, about = ledger.table, json.loads(renamed(json.dumps(ledger.about)))
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            values: list[Any] = table.column(place).to_pylist()
            table = table.set_column(place, field, pa.array([v and renamed(v) for v in values], field.type))
    write_ledger(table, to, about)
    print(f"{to}: {table.num_rows} rows")


if __name__ == "__main__":
    main()
