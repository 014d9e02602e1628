"""Pre-training and a probe, in one process."""

from pathlib import Path

from _common import sonoscale, tones

tones("clips", 64)
Path("run.yaml").write_text(
    """
data: {kind: folder, root: ., audio: clips, heldout_clips: 32}
encoder: {width: 8, depth: 1}
train: {clip_seconds: 0.4, batch_size: 8, budgets: [4], warmup_steps: 1, rank_points: 2}
"""
)
sonoscale("pretrain run.yaml --out runs --cache cache --logger tensorboard --workers 1")
(run,) = Path("runs").glob("[!.t]*")
lines = ["path,label,fold", *(f"clips/{i:02d}.wav,{'ab'[i // 24]},{i % 3}" for i in range(48))]
Path("task.csv").write_text("\n".join(lines))
sonoscale(f"probe {run} --task task.csv --no-baselines --json scores.json --cache cache")
sonoscale(f"measure {run} clips --json records.json")
sonoscale(f"export {run} --to hear --out mine")
print("pretrain, probe, measure, export --to hear")
