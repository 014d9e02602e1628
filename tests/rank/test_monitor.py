"""A reading against a plain singular value decomposition, and the training with it against the training without."""

import copy
import math
import pickle
import random
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sonoscale.errors import SonoscaleError
from sonoscale.rank import RankMonitor, SpectralSketch, measure_rank


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 10), nn.BatchNorm1d(10)
    )


def inputs(n=100, seed=1):
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(seed))


def noisy(model, batch):
    """An embedding that draws from every source of randomness."""
    drawn = torch.randn(len(batch), 10) + random.random() + torch.from_numpy(np.random.rand(len(batch), 10))  # noqa: NPY002
    return model(batch) + 0.1 * drawn.float()


def fails(model, batch):
    model.train()
    random.random()
    torch.rand(1)
    np.random.rand()  # noqa: NPY002
    raise ZeroDivisionError("by design")


def states():
    legacy = np.random.get_state()  # noqa: NPY002
    return random.getstate(), [part.tolist() if isinstance(part, np.ndarray) else part for part in legacy], (
        torch.get_rng_state().tolist()
    )  # fmt: skip


def train(monitor=None, steps=12, seed=0):
    """A short training that draws from every source of randomness; its losses, weights and last random states."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    model = network(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    if monitor:
        monitor(model, 0)
    for step in range(steps):
        batch = torch.randn(16, 12) * (1 + random.random()) + np.random.rand()  # noqa: NPY002
        loss = model(batch).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if monitor:
            monitor(model, step + 1)
    return losses, model.state_dict(), states()


def test_value_is_the_entropy_of_numpys_singular_values_in_eval_mode():
    model, probe = network(), inputs()
    model(inputs(64, seed=5))  # gives the BatchNorms statistics of their own
    record = RankMonitor(probe, batch_size=7)(model, 0)
    model.eval()
    with torch.no_grad():
        values = np.linalg.svd(model(probe).double().numpy(), compute_uv=False)
    assert record is not None
    assert record.value == pytest.approx(np.exp(stats.entropy(values)), rel=1e-6)
    assert (record.n, record.dim, record.dtype) == (100, 10, "float32")


@pytest.mark.parametrize("batch_size", [1, 7, 16, 100, 1000])
def test_record_is_that_of_the_sketch_of_all_embeddings_however_they_are_batched(batch_size):
    probe = inputs(83).double()
    sketch = SpectralSketch(12, blocks=5)
    sketch.update(probe)
    expected = measure_rank(sketch, "rankme_centred", level=0.8, encoder="e", corpus="c")
    settings = {"estimators": "rankme_centred", "level": 0.8, "blocks": 5, "encoder": "e", "corpus": "c"}
    assert RankMonitor(probe, batch_size=batch_size, **settings)(nn.Identity(), 3) == expected


def test_only_due_steps_are_read_and_kept():
    monitor = RankMonitor(inputs(), every=5, interval=False)
    read = [monitor(nn.Identity(), step) for step in range(12)]
    assert [step for step, record in enumerate(read) if record is not None] == [0, 5, 10]
    assert monitor.history == [(step, read[step]) for step in (0, 5, 10)]
    assert math.isnan(monitor.history[0][1].low)


def test_a_monitor_can_be_sent_to_another_process():
    monitor = RankMonitor(inputs(), every=2)
    monitor(nn.Identity(), 0)
    sent = pickle.loads(pickle.dumps(monitor))
    assert sent.history == monitor.history
    assert sent(nn.Identity(), 1) is None
    assert sent(nn.Identity(), 2) == monitor.history[0][1]


def test_training_with_the_monitor_is_bit_for_bit_the_training_without():
    plain_losses, plain_weights, plain_states = train()
    monitor = RankMonitor(inputs(), every=3, embed=noisy)
    losses, weights, after = train(monitor)
    assert losses == plain_losses
    assert after == plain_states
    assert all(torch.equal(weights[key], plain_weights[key]) for key in plain_weights)
    assert [step for step, _ in monitor.history] == [0, 3, 6, 9, 12]
    assert len({record.value for _, record in monitor.history}) == 5  # it did see the weights change


def test_readings_that_draw_random_numbers_are_repeated_exactly():
    model, probe = network(), inputs()
    first = RankMonitor(probe, embed=noisy)(model, 0)
    torch.rand(5)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert RankMonitor(probe, embed=noisy)(model, 0) == first
    assert RankMonitor(probe)(model, 0) != first  # the noise is in the reading


@pytest.mark.parametrize("embed", [None, noisy, fails])
def test_modes_gradients_statistics_and_random_states_are_as_before(embed):
    model = network()
    model[1].eval()  # a frozen BatchNorm
    model[4].requires_grad_(False)
    model(inputs(16)).sum().backward()
    flags = [module.training for module in model.modules()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    kept, drawn, graded = copy.deepcopy(model.state_dict()), states(), torch.is_grad_enabled()
    monitor = RankMonitor(inputs(), embed=embed)
    if embed is fails:
        with pytest.raises(ZeroDivisionError, match="by design"):
            monitor(model, 0)
    else:
        monitor(model, 0)
    assert [module.training for module in model.modules()] == flags
    assert flags.count(False) == 1
    assert states() == drawn
    assert torch.is_grad_enabled() == graded
    for parameter, before in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (before is None)
        assert before is None or torch.equal(parameter.grad, before)  # type: ignore[arg-type]
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())


def test_every_submodule_rests_though_train_and_eval_are_overridden():
    class Merging(nn.Module):
        def train(self, mode: bool = True):
            raise AssertionError("weights would be merged")

        def forward(self, batch):
            assert not self.training
            assert not torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            return batch

    model = nn.Sequential(Merging(), nn.Dropout())
    RankMonitor(inputs())(model, 0)
    assert [module.training for module in model.modules()] == [True, True, True]


def test_autocast_of_the_training_is_left_outside():
    seen = []

    def embed(model, batch):
        seen.append(model(batch))
        return seen[-1]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        record = RankMonitor(inputs(), embed=embed)(network(), 0)
        assert torch.is_autocast_enabled("cpu")
        assert network()(inputs()).dtype == torch.bfloat16
    assert record is not None
    assert {each.dtype for each in seen} == {torch.float32}
    assert record.dtype == "float32"


def test_embed_can_enter_an_autocast_of_its_own():
    def embed(model, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model[0](batch)

    record = RankMonitor(inputs(), embed=embed)(network(), 0)
    assert record is not None
    assert record.dtype == "bfloat16"


def test_embeddings_are_kept_though_the_model_uses_their_memory_again_and_writes_into_its_input():
    memory = torch.empty(7, 12)

    def embed(model, batch):
        batch *= 2
        return torch.mul(batch, 0.5, out=memory[: len(batch)])

    probe = inputs(77)
    before = probe.clone()
    monitor = RankMonitor(probe, embed=embed, batch_size=7)
    sketch = SpectralSketch(12)
    sketch.update(probe)
    assert monitor(None, 0) == monitor(None, 1) == measure_rank(sketch)
    assert torch.equal(probe, before)


Pair = namedtuple("Pair", "name clips")


@pytest.mark.parametrize("kind", ["tensors", "dicts", "pairs", "lists", "arrays", "loader", "array"])
def test_batches_of_any_kind(kind):
    probe = inputs(40)
    parts = list(probe.split(13))
    given, embed = {
        "tensors": (parts, None),
        "dicts": ([{"clips": part, "name": "a"} for part in parts], lambda model, batch: model(batch["clips"])),
        "pairs": ([Pair("a", part) for part in parts], lambda model, batch: model(batch.clips)),
        "lists": ([[part, 3] for part in parts], lambda model, batch: model(batch[0])),
        "arrays": ([part.numpy() for part in parts], lambda model, batch: model(torch.from_numpy(batch)).numpy()),
        "loader": (torch.utils.data.DataLoader(list(probe), batch_size=13), None),  # type: ignore[arg-type]
        "array": (probe.numpy(), None),
    }[kind]
    before = states()
    monitor = RankMonitor(given, embed=embed, batch_size=13)
    assert states() == before
    model = nn.Linear(12, 6)
    assert monitor(model, 0) == RankMonitor(probe, batch_size=13)(model, 0)


def test_batches_go_to_the_device_of_the_model():
    seen = []

    def embed(model, batch):
        seen.append((batch["clips"].device.type, batch["more"][0].device.type, batch["name"]))
        return torch.randn(8, 3)

    RankMonitor([{"clips": inputs(8), "more": [inputs(1)], "name": "a"}], embed=embed)(
        nn.Linear(12, 3, device="meta"), 0
    )
    assert seen == [("meta", "meta", "a")]


gpu = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


@pytest.mark.parametrize("where", ["cpu", gpu])
def test_random_numbers_of_the_device_are_as_before(where):
    def embed(model, batch):
        return model(batch) + torch.randn(len(batch), 10, device=where)

    def run(monitor):
        model = network().to(where)
        torch.manual_seed(0)
        drawn = []
        for step in range(4):
            if monitor:
                monitor(model, step)
            drawn.append(model(torch.randn(16, 12, device=where)).sum().item())  # dropout draws too
        return drawn

    monitor = RankMonitor(inputs(), embed=embed)
    assert run(monitor) == run(None)
    again = RankMonitor(inputs(), embed=embed)(network().to(where), 0)
    assert again is not None
    assert monitor.history[0][1].value == pytest.approx(again.value, rel=1e-6)
    quiet = [RankMonitor(inputs())(network().to(each), 0) for each in (where, "cpu")]
    assert quiet[0].value == pytest.approx(quiet[1].value, rel=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("probe", "settings", "reported"),
    [
        (torch.zeros(0, 12), {}, "empty"),
        ([], {}, "empty"),
        (torch.tensor(1.0), {}, r"float32 \[\]"),
        ({"clips": torch.zeros(3, 12)}, {}, "not dict"),
        (3, {}, "not int"),
        (torch.zeros(3, 12), {"every": 0}, "every must be at least 1, not 0"),
        (torch.zeros(3, 12), {"batch_size": 0}, "batch_size must be at least 1, not 0"),
        (torch.zeros(3, 12), {"level": 95}, "level must be between 0 and 1, not 95"),
        (torch.zeros(3, 12), {"blocks": 1}, "blocks=1"),
        (torch.zeros(3, 12), {"method": "svd"}, "'svd'"),
        (torch.zeros(3, 12), {"estimators": "rang"}, "'rang'"),
    ],
)
def test_refuses_what_could_never_be_read(probe, settings, reported):
    with pytest.raises(SonoscaleError, match=reported):
        RankMonitor(probe, **settings)


def nan_in_row_3(model, batch):
    rows = batch.clone()
    rows[3] = torch.nan
    return rows


@pytest.mark.parametrize(
    ("embed", "reported"),
    [
        (lambda model, batch: batch[:, None, :], r"float32 \[50, 1, 12\] \(batch 0\)"),
        (lambda model, batch: batch.long(), r"int64 \[50, 12\]"),
        (lambda model, batch: (batch, batch), "not tuple"),
        (lambda model, batch: None, "not NoneType"),
        (lambda model, batch: batch[:, : 3 + len(batch) // 50], r"widths \[3, 4\]"),
        (lambda model, batch: batch[:0], "no embeddings"),
        (nan_in_row_3, "1 of the 50 embeddings of batch 0 hold NaN or infinity"),
        (lambda model, batch: batch / 0, "50 of the 50"),
        (lambda model, batch: batch * 0, "zero"),
        (lambda model, batch: batch.double() * 1e200, "magnitude"),
    ],
)
def test_refuses_embeddings_and_names_the_step(embed, reported):
    monitor = RankMonitor(inputs(99), embed=embed, batch_size=50)
    with pytest.raises(SonoscaleError, match=f"^rank at step 40: .*{reported}") as caught:
        monitor(nn.Identity(), 40)
    assert "\n" not in str(caught.value)
    assert monitor.history == []


def test_importing_the_monitor_imports_no_torch():
    code = "import sys; from sonoscale.rank import RankMonitor; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_several_estimators_are_read_in_one_pass():
    calls = []

    def embed(model, batch):
        calls.append(len(batch))
        return model(batch)

    names = ("rankme", "rankme_centred", "stable_rank")
    monitor, model = RankMonitor(inputs(), estimators=names, embed=embed, batch_size=1000), network()
    first = monitor(model, 7)
    assert calls == [len(inputs())]
    assert [step for step, _ in monitor.history] == [7, 7, 7]
    assert [record for _, record in monitor.history] == [RankMonitor(inputs(), estimators=n)(model, 7) for n in names]
    assert first == monitor.history[0][1]
    reading = monitor.read(model, 8)
    assert list(reading.records.values()) == [record for _, record in monitor.history]
    assert reading.sketch.n == len(inputs())
    with pytest.raises(SonoscaleError, match="each once"):
        RankMonitor(inputs(), estimators=("rankme", "rankme"))


def test_embeddings_in_numpy_are_sketched_as_numpy():
    rows = inputs().numpy()
    sketch = SpectralSketch(rows.shape[1])
    sketch.update(rows)
    record = RankMonitor([inputs()], embed=lambda model, batch: batch.numpy())(nn.Identity(), 0)
    assert record is not None
    assert record.value == measure_rank(sketch).value
