"""Run the code of a page, block by block, in an empty folder: `python docs/run_page.py docs/howto/table.md`.

Blocks marked `bash` and `python` are run in the order of the page, each in a new process; those marked `text` or `yaml`
are not, and one that begins with `# FILE: name` is written to that file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"\A(?:#|//) FILE: (\S+)\n")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block of a page, without those in comments."""
    return _BLOCK.findall(re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL))


def run_page(path: Path, folder: Path, commands: Path = Path(sys.executable).parent) -> None:
    """Run a page in a folder, with `sonoscale` and `python` of the folder `commands`.

    Raises:
        RuntimeError: a block fails; the message has its text and what it printed.
    """
    env = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    for language, text in blocks(path.read_text()):
        if file := _FILE.match(text):
            (folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / file[1]).write_text(text[file.end() :])
            continue
        command = {
            "bash": ["bash", "-euo", "pipefail", "-c", text],
            "python": [str(commands / "python"), "-c", text],
        }.get(language)
        if command is None:
            continue
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{path}: this block fails:\n{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        print(done.stdout, end="")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as empty:
            run_page(Path(name), Path(empty))
