"""The callback in a real Lightning trainer: when it reads, what it logs, what it leaves alone, how it resumes."""

import csv
import subprocess
import sys

import pytest
import torch
from torch import nn

from sonoscale.errors import SonoscaleError
from sonoscale.rank import RankMonitor

pl = pytest.importorskip("lightning.pytorch")

from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

from sonoscale.rank.lightning import RankMonitorCallback  # noqa: E402

PROBE = torch.randn(64, 8, generator=torch.Generator().manual_seed(3))


def batches(n, seed):
    """Batches of 8 rows."""
    rows = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return torch.utils.data.DataLoader(list(rows), batch_size=8)  # type: ignore[arg-type]


class Tiny(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Linear(6, 6))
        self.after: list[tuple[int, dict]] = []  # weights by global step, which no reading has touched

    def forward(self, batch):
        return self.network(batch)

    def training_step(self, batch, batch_idx):
        loss = self(batch).square().mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("held_out", self(batch).mean())

    def on_train_batch_start(self, batch, batch_idx):
        self.keep()

    def on_train_end(self):
        self.keep()

    def keep(self):
        self.after.append((self.trainer.global_step, {k: v.clone() for k, v in self.state_dict().items()}))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return batches(48, seed=4)

    def val_dataloader(self):
        return batches(16, seed=5)


class TwoOptimisers(Tiny):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for optimiser in self.optimizers():  # type: ignore[union-attr]
            optimiser.zero_grad()
            self.manual_backward(self(batch).square().mean())
            optimiser.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.network[i].parameters(), lr=0.1) for i in (0, 3)]


def fit(module, callbacks, folder, *, ckpt_path=None, **settings):
    torch.manual_seed(1)
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=callbacks, logger=CSVLogger(folder, name="", version="run"),
        enable_progress_bar=False, enable_model_summary=False,
        **{"max_epochs": 2, "enable_checkpointing": False, "log_every_n_steps": 1, **settings},
    )  # fmt: skip
    trainer.fit(module, ckpt_path=ckpt_path)
    return trainer


def logged(folder, name="rank/rankme"):
    """{step: (value, low, high)} of the CSV file."""
    with (folder / "run" / "metrics.csv").open() as file:
        return {
            int(row["step"]): tuple(float(row[name + end]) for end in ("", "_low", "_high"))
            for row in csv.DictReader(file)
            if row.get(name)
        }


def check_weights(callback, module):
    """Each record is the rank by the weights there were after that many optimiser steps."""
    weights = dict(reversed(module.after))  # the first of a step: batches that accumulate move the BatchNorm on
    for step, record in callback.history:
        bare = Tiny().network
        bare.load_state_dict({k.removeprefix("network."): v for k, v in weights[step].items()})
        assert record == RankMonitor(PROBE)(bare, step)


def test_reads_untrained_and_every_n_steps_and_logs_the_record(tmp_path):
    module, callback = Tiny(), RankMonitorCallback(PROBE, every_n_steps=5)
    # 12 steps; no other metric of this trainer is logged at steps 5 and 10.
    trainer = fit(module, [callback], tmp_path, log_every_n_steps=4, num_sanity_val_steps=2)
    assert [step for step, _ in callback.history] == [0, 5, 10]
    assert logged(tmp_path) == {step: (r.value, r.low, r.high) for step, r in callback.history}
    for end in ("value", "low", "high"):
        name = "rank/rankme" + ("" if end == "value" else f"_{end}")
        assert trainer.callback_metrics[name].item() == pytest.approx(getattr(callback.history[-1][1], end), rel=1e-6)
    check_weights(callback, module)


def test_training_is_bit_for_bit_that_without_the_callback(tmp_path):
    plain, read = Tiny(), Tiny()
    fit(plain, [], tmp_path / "plain")
    fit(read, [RankMonitorCallback(PROBE, every_n_steps=1, embed=lambda m, b: m(b) + torch.randn(len(b), 6))], tmp_path)
    assert all(torch.equal(value, read.state_dict()[key]) for key, value in plain.state_dict().items())


def test_batches_that_only_accumulate_gradients_are_not_steps(tmp_path):
    module, callback = Tiny(), RankMonitorCallback(PROBE, every_n_steps=2)
    fit(module, [callback], tmp_path, accumulate_grad_batches=3)  # 12 batches, 4 steps
    assert [step for step, _ in callback.history] == [0, 2, 4]
    check_weights(callback, module)


def test_several_optimiser_steps_in_a_batch_never_jump_over_a_reading(tmp_path):
    module, callback = TwoOptimisers(), RankMonitorCallback(PROBE, every_n_steps=5)
    fit(module, [callback], tmp_path)  # 12 batches, 24 steps
    assert [step for step, _ in callback.history] == [0, 6, 10, 16, 20]
    check_weights(callback, module)


def test_resumed_training_goes_on_from_the_readings_of_the_checkpoint(tmp_path):
    whole = RankMonitorCallback(PROBE, every_n_steps=4)
    fit(Tiny(), [whole], tmp_path / "whole")
    first = RankMonitorCallback(PROBE, every_n_steps=4)
    fit(Tiny(), [first, ModelCheckpoint(tmp_path / "kept", "half", every_n_train_steps=6)], tmp_path / "first",
        max_epochs=1, enable_checkpointing=True)  # fmt: skip
    resumed = RankMonitorCallback(PROBE, every_n_steps=4)
    torch.manual_seed(77)
    fit(Tiny(), [resumed], tmp_path / "resumed", ckpt_path=tmp_path / "kept" / "half.ckpt")
    assert [step for step, _ in first.history] == [0, 4]
    assert [step for step, _ in whole.history] == [step for step, _ in resumed.history] == [0, 4, 8, 12]
    assert resumed.history[:2] == whole.history[:2]
    assert set(logged(tmp_path / "resumed")) == {8, 12}


def test_a_checkpoint_without_readings_is_read_where_it_resumes(tmp_path):
    fit(
        Tiny(),
        [ModelCheckpoint(tmp_path / "kept", "half")],
        tmp_path / "first",
        max_epochs=1,
        enable_checkpointing=True,
    )
    resumed = RankMonitorCallback(PROBE, every_n_steps=4)
    fit(Tiny(), [resumed], tmp_path / "resumed", ckpt_path=tmp_path / "kept" / "half.ckpt")
    assert [step for step, _ in resumed.history] == [6, 8, 12]


def test_state_survives_a_round_trip_without_an_interval():
    callback = RankMonitorCallback(PROBE, interval=False)
    record = RankMonitor(PROBE)(nn.Identity(), 0)
    assert record is not None
    callback.monitor.history.append((7, record))
    other = RankMonitorCallback(PROBE)
    other.load_state_dict(callback.state_dict())
    assert other.history == [(7, record)]


def test_two_numbers_of_one_training_are_kept_and_logged_apart(tmp_path):
    callbacks = [
        RankMonitorCallback(PROBE, every_n_steps=6),
        RankMonitorCallback(PROBE, every_n_steps=6, prefix="other", estimators="rankme_centred", interval=False),
    ]
    trainer = fit(Tiny(), [*callbacks, ModelCheckpoint(tmp_path / "kept", "end")], tmp_path, enable_checkpointing=True)
    kept = torch.load(tmp_path / "kept" / "end.ckpt", weights_only=True)["callbacks"]
    assert [len(kept[each.state_key]["history"]) for each in callbacks] == [3, 3]
    assert "other/rankme_centred" in trainer.callback_metrics
    assert "other/rankme_centred_low" not in trainer.callback_metrics  # no interval, no NaN in the plots


def test_refuses_every_0_steps():
    with pytest.raises(SonoscaleError, match="every_n_steps must be at least 1, not 0"):
        RankMonitorCallback(PROBE, every_n_steps=0)


def test_without_lightning_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['lightning'] = sys.modules['pytorch_lightning'] = None\n"
        "import sonoscale.rank, sonoscale.errors\n"
        "try: import sonoscale.rank.lightning\n"
        "except sonoscale.errors.SonoscaleError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'sonoscale[lightning]'" in ran.stdout
