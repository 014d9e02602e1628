"""Started by torchrun: several commands `sonoscale pretrain`, one after the other, in each of its processes."""

import sys
from pathlib import Path

from sonoscale.cli.main import run

for command in Path(sys.argv[1]).read_text().splitlines():
    sys.argv = ["sonoscale", *command.split("\t")]
    try:
        run()
    except SystemExit as done:
        if done.code:
            raise
