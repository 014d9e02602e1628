"""A person can listen and look."""

import csv

import pytest
import soundfile

from sonoscale.corpora import preview
from sonoscale.errors import SonoscaleError


def test_preview_writes_sounds_labels_and_sheets(tmp_path):
    made = preview(tmp_path / "out", clips=3, seconds=1.0)
    assert [p.name for p in made] == ["labels.csv", "contact-sheet-train.png", "contact-sheet-test.png"]
    with made[0].open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["split"] for r in rows] == ["train"] * 3 + ["test"] * 3
    for row in rows:
        wave, rate = soundfile.read(tmp_path / "out" / row["path"])
        assert rate == 16_000
        assert len(wave) == 16_000
        assert abs(wave).max() > 1e-3
    assert all(sheet.stat().st_size > 10_000 for sheet in made[1:])


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "labels.csv").write_text("mine")
    (tmp_path / "thesis.wav").write_text("mine")
    with pytest.raises(SonoscaleError, match=r"holds 'thesis\.wav', which is of no preview; give a new folder"):
        preview(tmp_path, clips=1, seconds=0.5)
    assert {path.name for path in tmp_path.iterdir()} == {"labels.csv", "thesis.wav"}
    (tmp_path / "thesis.wav").unlink()
    assert preview(tmp_path, clips=1, seconds=0.5) == preview(tmp_path, clips=2, seconds=0.5)  # again is fine
