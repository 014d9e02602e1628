"""Study files for common questions, with comments: `$name` is filled in."""

from __future__ import annotations

__all__ = ["DATA_FOLDER", "DATA_MADE", "QUESTIONS", "TASKS_MADE", "TEMPLATES"]

QUESTIONS = {
    "folder": "one folder of audio, no labels needed: how do width and depth pay off on it?",
    "width-data": "width x data: a grid, for a law in parameters and clips",
    "objectives": "which objective is best for the same compute?",
    "isoflop": "IsoFLOP slices: which width is best for each budget of compute?",
    "run": "an existing run as the base: what would have happened with other widths, data and learning rates?",
    "continue": "an existing run trained further: how fast, on how much audio, with how many layers frozen?",
}
"""Question -> what it asks."""

DATA_FOLDER = """\
data:
  kind: folder
  root: $root          # base of all paths here; also given by --set data.root=PATH
  audio: $audio        # folder of unlabelled audio: WAV, FLAC, OGG, Opus, MP3, any rate
  heldout_clips: $heldout    # never trained on: the rank is measured on these; best 8 times the largest width
"""

DATA_MADE = """\
data:
  kind: procedural     # synthesised speech, music and environment; for your own: kind: folder, root, audio
  clips: 3072          # 1.7 hours
  heldout_clips: 768   # never trained on: the rank is measured on these; best 8 times the largest width
  seconds: 2.0
"""

TASKS_MADE = """\
# What is probed. These tasks are synthesised; a task of your own is a CSV with the columns path, label and fold (or
# split: train, valid, test), whose paths are relative to data.root:
#   - {kind: folder, name: mine, metadata: tasks/mine.csv}
tasks:
  - {kind: procedural, name: word}
  - {kind: procedural, name: instrument}
  - {kind: procedural, name: event}
"""

_LAST = """\
protocols: [linear, knn, few-shot]    # by which each task is scored, each by those for its kind
readouts: [frequency+std]    # what a probe reads of the tokens, also mean, mean+std, frequency; quality is the first's
layers: false          # true: rank and scores of every layer too; or which, 0 the first
estimators: []         # of ranks, besides rankme and rankme_centred: such as participation_ratio
"""

_TEXTS = {
    "folder": """\
# How do width and depth of an encoder pay off on one folder of audio?
name: $name
description: >-
  Contrast on one folder of audio. Width and depth are varied one at a time, two seeds each, three budgets.

$data
encoder: {backbone: cnn, width: 64, depth: 1}    # 0.1 M parameters; also vit, conv
objective: {kind: contrastive}                   # two views of each second; also mae, latent
train:
  clip_seconds: 1.0    # length of a training example; shorter clips are joined, longer ones cut
  batch_size: $batch
  budgets: [80, 160, 320]    # steps; each is trained to its end on a decay of its own
  warmup_steps: 40

design: one-at-a-time  # the base, and one thing changed at a time; also grid, fractional, latin-hypercube, sobol
sweep:
  encoder.width: {range: [16, 128], n: 4, scale: log}    # a multiple of 8
  encoder.depth: [2, 3]
seeds: 2               # of each configuration: 0 and 1
replicates:
  - {at: centre, seeds: 4}    # more of the base: how far seeds lie apart

$tasks
$last""",
    "width-data": """\
# How does quality follow the width of an encoder and the number of clips it is trained on?
name: $name
description: >-
  Width x data. A law in both needs both to vary apart from each other, as in a grid.

$data
encoder: {backbone: cnn, width: 64, depth: 1}    # 0.1 M parameters; also vit, conv
objective: {kind: contrastive}                   # two views of each second; also mae, latent
train: {clip_seconds: 1.0, batch_size: 64, budgets: [160, 320], warmup_steps: 40}

design: grid           # for less: {kind: fractional, points: 9}, of all combinations those that tell most
sweep:
  encoder.width: {range: [16, 128], n: 4, scale: log}    # a multiple of 8
  data.clips: {range: [96, 1536], n: 4, scale: log}    # smaller sets are nested in larger ones
seeds: 1
replicates:
  - {at: corners, seeds: 3}    # where a law is pinned down, and where seeds are compared

$tasks
$last""",
    "objectives": """\
# Which objective is best for the same compute, each on the backbone that suits it?
name: $name
description: >-
  Contrast on a CNN, latent prediction and masked autoencoding on a transformer of frames. Every run trains for the
  same number of floating-point operations.

$data
encoder: {backbone: vit, depth: 4, patch_mels: 64, patch_frames: 4}    # a patch is 4 frames of all 64 bands
train: {clip_seconds: 2.0, batch_size: 64, flops: [2.0e+11, 4.0e+11], warmup_steps: 20, lr: 1.0e-3}

families:              # base runs, for each of which the design is trained; the column family of the ledger
  - name: contrastive
    encoder: {backbone: cnn, depth: 1, patch_mels: 16, patch_frames: 16}
    objective: {kind: contrastive}
    train: {clip_seconds: 1.0, lr: 2.0e-3}
  - {name: latent, objective: {kind: latent, mask_ratio: 0.6}}
  - {name: mae, objective: {kind: mae, mask_ratio: 0.75, decoder_depth: 2}}
design: grid
sweep:
  encoder.width: [32, 64]
seeds: 2

$tasks
$last""",
    "isoflop": """\
# Which width is best for each budget of compute?
name: $name
description: >-
  IsoFLOP slices. Each width is trained exactly to each budget, so that small models see more examples.

$data
encoder: {backbone: cnn, width: 64, depth: 1}    # 0.1 M parameters; also vit, conv
objective: {kind: contrastive}                   # two views of each second; also mae, latent
train: {clip_seconds: 1.0, batch_size: 64, warmup_steps: 10}

design:
  kind: isoflop
  slices:              # FLOPs of the whole training, decoder included; a slice may have a sweep of its own
    - {flops: 1.0e+11}
    - {flops: 2.0e+11}
    - {flops: 4.0e+11, sweep: {encoder.width: [24, 32, 48, 64, 96]}}
sweep:
  encoder.width: [16, 24, 32, 48, 64]
seeds: 1

$tasks
$last""",
    "run": """\
# What would have happened to $run with another width, less data, or another learning rate?
name: $name
description: >-
  Around an existing run, whose configuration is the base.

$sections
design: one-at-a-time
sweep:
  encoder.width: $widths
  data.clips: $clips
  train.lr: {range: [$lr_low, $lr_high], n: 3, scale: log}
seeds: 2               # the existing run is one of these, if its seed is among them and it lies in the study's runs/

$tasks
$last""",
    "continue": """\
# Does it pay to train $run further: how fast, on how much audio, with how many layers frozen?
name: $name
description: >-
  Continued pre-training. Every run begins with the weights of an existing one.

# The sections are those of that run: name other audio under data to adapt it to that. The encoder's shape is fixed.
$sections
design: one-at-a-time
sweep:
  train.lr: {range: [$lr_low, $lr_high], n: 3, scale: log}
  train.frozen_layers: $frozen    # the last: all, which is the encoder as it was, to hold the others against
  data.clips: $clips
seeds: 2

$tasks
$last""",
}

TEMPLATES = {question: text.replace("$last", _LAST) for question, text in _TEXTS.items()}
"""Question -> the file."""
