"""What the trials share."""

import subprocess


def sonoscale(line: str, status: int = 0) -> str:
    """What a command prints; it must end with the status, and a failure must be one line."""
    done = subprocess.run(["sonoscale", *line.split()], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, f"sonoscale {line}: status {done.returncode}\n{done.stdout}{done.stderr}"
    if not status:
        return done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, f"sonoscale {line}: {done.stderr}"
    assert lines[0].startswith("error: "), lines
    return lines[0]


def tones(folder: str, clips: int = 24) -> None:
    """WAV files of tones in noise, half a second each."""
    from pathlib import Path

    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    Path(folder).mkdir()
    for i in range(clips):
        wave = 0.3 * np.sin(np.arange(8000) * (0.05 + 0.02 * i)) + 0.01 * rng.standard_normal(8000)
        soundfile.write(f"{folder}/{i:02d}.wav", wave, 16_000)
