"""Build sdist and wheel, look into them, and try the wheel with each extra in an empty environment.

    python release/check_dist.py                     # all: about 20 minutes
    python release/check_dist.py core audio report   # these extras only
    python release/check_dist.py --python 3.12 core

Each environment is made anew, gets the wheel and what it asks for (pinned by constraints.txt), and runs an example of
what the extra is for. What needs torch is tried only where pip finds a torch build without CUDA: for this interpreter
that is one on the package index or in PIP_FIND_LINKS; others bring 3 GB of CUDA libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
TRIALS = Path(__file__).parent / "trials"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", help="extras to try; by default core and all of them")
    parser.add_argument("--python", action="append", help="versions to try, as 3.12; by default all from 3.11 up")
    arguments = parser.parse_args()
    extras = arguments.extras or ["core", *(e for e in PROJECT["optional-dependencies"] if e != "dev")]
    if unknown := set(extras) - {"core", *PROJECT["optional-dependencies"]}:
        parser.error(f"no such extra: {', '.join(sorted(unknown))}")
    wheel = build()
    rows = []
    for version, python in interpreters().items():
        if arguments.python and version not in arguments.python:
            continue
        torch = torch_build(python, wheel)
        for extra in extras:
            rows.append(attempt(version, python, wheel, extra, torch))
            print(rows[-1].text, flush=True)
    failed = [row for row in rows if row.outcome not in ("passed", "not tried")]
    print(f"\n{len(rows)} environments: {len(failed)} failed, {sum(r.outcome == 'not tried' for r in rows)} not tried")
    return bool(failed)


def build() -> Path:
    """The wheel, made from the sdist; both are checked."""
    shutil.rmtree(DIST, ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", DIST, ROOT])
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    print(run([sys.executable, "-m", "twine", "--no-color", "check", "--strict", wheel, sdist]).strip())
    check_wheel(wheel)
    check_sdist(sdist)
    return wheel


def check_wheel(wheel: Path) -> None:
    """The package with all its data, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        size = sum(info.file_size for info in archive.infolist())
    tracked = run(["git", "-C", ROOT, "ls-files", "src"]).split()
    expected = {name.removeprefix("src/") for name in tracked}
    if names != expected:
        lacking, surplus = sorted(expected - names), sorted(names - expected)
        raise SystemExit(f"{wheel.name}: lacks {lacking or 'nothing'}, has {surplus or 'nothing'} that is not ours")
    data = sorted({Path(name).suffix or Path(name).name for name in names} - {".py"})
    print(
        f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.2f} MB packed, {size / 1e6:.1f} MB unpacked; "
        f"beside Python: {', '.join(data)}"
    )


def check_sdist(sdist: Path) -> None:
    """All that is tracked by git, so that the tests can be run from it."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {name for name in run(["git", "-C", ROOT, "ls-files"]).split("\n") if name}
    if lacking := sorted(tracked - names):
        raise SystemExit(f"{sdist.name}: lacks {lacking[:5]}")
    if surplus := sorted(names - tracked - {"PKG-INFO"}):
        raise SystemExit(f"{sdist.name}: has {surplus[:5]}, which git does not know")
    print(f"{sdist.name}: {len(names)} files, {sdist.stat().st_size / 1e6:.2f} MB packed")


def interpreters() -> dict[str, Path]:
    """Version -> interpreter: this one, those on PATH, and those of pyenv, from the oldest that is supported up."""
    oldest = tuple(map(int, re.findall(r"\d+", PROJECT["requires-python"])))
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": Path(sys.executable)}
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for place in [*(f / "python3.*" for f in folders), pyenv / "versions/*/bin/python3.*"]:
        for python in Path(place.anchor).glob(str(place.relative_to(place.anchor))):
            version = re.fullmatch(r"python(3\.\d+)", python.name)
            if version is None or tuple(map(int, version[1].split("."))) < oldest or version[1] in found:
                continue
            if (
                subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
                == 0
            ):
                found[version[1]] = python
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


def torch_build(python: Path, wheel: Path) -> str | None:
    """Why torch cannot be tried with this interpreter; None if it can."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        made = venv(python, Path(folder, "venv"))
        asked = subprocess.run(
            [*pip(made), "install", "--dry-run", "--ignore-installed", "--report", report, *constraints(), "torch"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if asked.returncode:
            return "no torch for this Python"
        names = [item["metadata"]["name"] for item in json.loads(report.read_text())["install"]]
    heavy = [name for name in names if name.startswith("nvidia")]
    return f"torch would bring {len(heavy)} CUDA libraries" if heavy else None


@dataclass
class Row:
    """How an environment fared."""

    python: str
    extra: str
    outcome: str
    megabytes: float = 0.0
    seconds: float = 0.0
    trial: float = 0.0
    reported: str = ""

    @property
    def text(self) -> str:
        sizes = f"{self.megabytes:6.0f} MB {self.seconds:5.0f} s install {self.trial:5.1f} s trial"
        return f"Python {self.python}  {self.extra:<10} {self.outcome:<9} {sizes}  {self.reported}".rstrip()


def attempt(version: str, python: Path, wheel: Path, extra: str, no_torch: str | None) -> Row:
    """Install the wheel with an extra into an empty environment and run its trial there."""
    if no_torch and needs_torch(extra):
        return Row(version, extra, "not tried", reported=no_torch)
    with tempfile.TemporaryDirectory() as folder:
        made = venv(python, Path(folder, "venv"))
        empty, start = megabytes(made), time.perf_counter()
        what = f"{wheel}" if extra == "core" else f"{wheel}[{extra}]"
        installed = subprocess.run(
            [*pip(made), "install", "--quiet", *constraints(), what], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        if installed.returncode:
            return Row(version, extra, "failed", reported=f"pip: {installed.stderr.strip().splitlines()[-1]}")
        size, start = megabytes(made) - empty, time.perf_counter()
        place = Path(folder, "place")
        place.mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"PATH": f"{made / 'bin'}{os.pathsep}{os.environ['PATH']}", "TRIALS": str(TRIALS)}
        environment |= {"HOME": str(place), "COLUMNS": "200"}
        trial = subprocess.run(
            [made / "bin/python", TRIALS / f"try_{extra}.py"], cwd=place, env=environment, timeout=600, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        spent = time.perf_counter() - start
    lines = [line for line in (trial.stderr if trial.returncode else trial.stdout).strip().splitlines() if line]
    outcome = "failed" if trial.returncode else "passed"
    return Row(version, extra, outcome, size, seconds, spent, "\n".join(lines[-12:]) if trial.returncode else lines[-1])


def needs_torch(extra: str) -> bool:
    asked = PROJECT["optional-dependencies"].get(extra, [])
    within = [name for one in asked for name in re.findall(r"sonoscale\[(.*?)\]", one)]
    return any(one.startswith("torch") for one in asked) or any(needs_torch(e) for w in within for e in w.split(","))


def venv(python: Path, folder: Path) -> Path:
    run([python, "-m", "venv", folder])
    return folder


def pip(environment: Path) -> list[str | Path]:
    return [environment / "bin/python", "-m", "pip", "--disable-pip-version-check"]


def constraints() -> list[str | Path]:
    return ["-c", ROOT / "constraints.txt"]


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) / 1e6


def run(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
