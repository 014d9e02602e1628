"""Everything together: each other trial that runs on this machine alone."""

import os
import subprocess
import sys
from pathlib import Path

trials = ["train", "hdf5", "hf", "onnx", "ray", "lightning"]
for name in trials:
    Path(name).mkdir()
    subprocess.run([sys.executable, f"{os.environ['TRIALS']}/try_{name}.py"], cwd=name, check=True, capture_output=True)
print(", ".join(trials))
