"""Write the file of a run to start from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from string import Template

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import write_text

__all__ = ["RUN_QUESTIONS", "init"]

RUN_QUESTIONS = {
    "procedural": "synthesised audio: something to try at once",
    "folder": "one folder of audio",
    "latent": "latent prediction on a transformer, instead of contrast on a CNN",
    "flops": "a budget in FLOPs instead of steps",
}
"""Question -> what the file is for."""

_DATA = {
    True: """\
data:
  kind: folder
  root: $root          # folder of the audio: WAV, FLAC, OGG, Opus, MP3, any rate; also --set data.root=PATH
  clips: null          # train on the first so many after a shuffle; null for all
  heldout_clips: $heldout   # never trained on: the rank and the held-out loss are measured on these
""",
    False: """\
data:
  kind: procedural     # synthesised speech, music and environment; for your own: kind: folder, root
  clips: 3072          # 1.7 hours
  heldout_clips: 1024  # never trained on: the rank and the held-out loss are measured on these
  seconds: 2.0
""",
}

_RUN = """\
# One pre-training run: $what.
#   sonoscale pretrain $file --dry-run     parameters, FLOPs, memory, time; trains nothing
#   sonoscale pretrain $file
$data
$model
train:
  clip_seconds: $seconds    # length of a training example; shorter clips are joined, longer ones cut
  batch_size: $batch
  $budget
  warmup_steps: 40
  lr: $lr           # peak, at lr_width
  lr_width: 64         # width at which lr holds: it follows the width (mup)

seed: 0
"""

_MODELS = {
    "contrastive": """\
encoder:
  backbone: cnn        # or vit, conv
  width: 64            # dimension of the embedding; a multiple of 8
  depth: 1             # residual blocks after the strided convolutions
  n_mels: 64
  patch_mels: 16       # height of a token in mel bands; a power of two
  patch_frames: 16     # its length in frames of 10 ms; likewise

objective:
  kind: contrastive    # two views of an example among those of all others; or latent, mae
  mixup: 0.4           # largest share of another example's power in a view
  resize_time: 0.6     # shortest stretch that is stretched to a view
  resize_mels: 0.6     # narrowest band that is stretched to all bands; 1 where pitch must tell clips apart
  fade_db: 6.0         # largest change of level at either end of a view
""",
    "latent": """\
encoder:
  backbone: vit        # or conv, cnn
  width: 96            # dimension of the embedding; a multiple of 4
  depth: 4             # blocks
  n_mels: 64
  patch_mels: 64       # height of a patch in mel bands; n_mels for patches that are time frames
  patch_frames: 4      # length of a patch in frames of 10 ms

objective:
  kind: latent         # predict what a slowly moving copy of the encoder makes of hidden patches
  mask: random         # or time, frequency, time-frequency, block, inverse-block, grouped
  mask_ratio: 0.6
  teacher_memory: 0.2  # part of the steps so far that the copy averages
""",
}


@in_one_line
def init(
    file: str | os.PathLike[str] = "run.yaml",
    *,
    question: str | None = None,
    data: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Path:
    """Write the commented file of a run.

    Arguments:
        file: to be written.
        question: `procedural`, `folder`, `latent` or `flops`. None: `folder` if data are given, else `procedural`.
        data: folder of audio. None: the built-in procedural corpus, or for `folder` to be filled in.
        force: replace a file that is there.

    Returns:
        The file.

    Raises:
        SonoscaleError: no such question or folder; too little audio; the file is there already.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sonoscale.pretrain import init, pretrain
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = init(Path(folder) / "run.yaml")
        ...     pretrain(file, set={"train.batch_size": 4}, dry_run=True, device="cpu").patches
        24
    """
    check_arguments(init, locals())
    path = Path(file)
    asked = question or ("procedural" if data is None else "folder")
    if asked not in RUN_QUESTIONS:
        said = "; ".join(f"{name} ({what})" for name, what in RUN_QUESTIONS.items())
        raise SonoscaleError(f"question = {asked!r}: there are {said}")
    if path.exists() and not force:
        raise SonoscaleError(f"{path}: is there already; name another file, or force to replace it")
    root, held, batch = "null", 1024, 128
    if data is not None:
        from sonoscale.corpora._folder import FileCorpus

        folder = Path(data).expanduser()
        if not folder.is_dir():
            raise SonoscaleError(f"data = {data}: no such folder")
        clips = len(FileCorpus.from_folder(folder))
        if clips < 48:
            raise SonoscaleError(f"data = {data}: {clips} clips of audio; a run needs 48 or more")
        root, held = json.dumps(str(folder.resolve())), max(32, min(1024, clips // 3))
        batch = next(size for size in (128, 64, 32, 16, 8) if size <= clips - held)
    on_folder = data is not None or asked == "folder"
    text = Template(_RUN).substitute(
        what=RUN_QUESTIONS[asked], file=path.name, data=Template(_DATA[on_folder]).substitute(root=root, heldout=held),
        model=_MODELS["latent" if asked == "latent" else "contrastive"], batch=batch,
        seconds="2.0" if asked == "latent" else "1.0", lr="1.0e-3" if asked == "latent" else "2.0e-3",
        budget="flops: [3.0e+11, 1.0e+12]   # of the training; each is trained to its end on a decay of its own"
        if asked == "flops"
        else "budgets: [200, 400]  # steps; each is trained to its end on a decay of its own",
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path
