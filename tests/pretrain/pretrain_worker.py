"""Started by torchrun: several commands `sonoscale pretrain`, one after the other, in each of its processes.

Beside the file of commands each process leaves how they ended, and what they said. Then comes `sharding_worker`.
"""

import io
import json
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path

import sharding_worker

from sonoscale.cli.main import run

file, ends = Path(sys.argv[1]), []
for command in file.read_text().splitlines():
    sys.argv = ["sonoscale", *command.split("\t")]
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            run()
    except SystemExit as done:
        ends.append([done.code or 0, said.getvalue()])
file.with_name(f"ends-{os.environ['RANK']}.json").write_text(json.dumps(ends))
sharding_worker.run(file.with_name("sharding.pt"))
