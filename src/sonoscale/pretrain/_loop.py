"""The training loop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from sonoscale.audio import LogMel
from sonoscale.claims import Claim
from sonoscale.corpora import FeatureStore
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._batches import Batches
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._estimate import peak_flops
from sonoscale.pretrain._flops import training_cost
from sonoscale.pretrain._initial import begin_with
from sonoscale.pretrain._monitor import RankReading, check_loss, check_rank, heldout_loss, rank_monitor, read_rank
from sonoscale.pretrain._objective import build_objective, prepare_for_speed
from sonoscale.pretrain._optimiser import make_optimiser, set_lr
from sonoscale.pretrain._prefetch import Prefetch
from sonoscale.pretrain._run_folder import RunFolder
from sonoscale.pretrain._runtime import Runtime, WholeModel, cuts_models, runtime_of, whole
from sonoscale.pretrain._schedule import Segment, make_schedule
from sonoscale.pretrain._state import Training, stop_requests
from sonoscale.pretrain._waves import WaveStore, as_log_mels

Progress = Callable[[int, int, float], None]
Log = Callable[[dict[str, float], int], Any]


def train_run(
    config: RunConfig,
    train: FeatureStore | WaveStore,
    heldout: FeatureStore,
    folder: Path,
    *,
    identity: dict[str, Any],
    clips: int | None = None,
    fabric: Runtime | None = None,
    compiled: bool = False,
    restart: bool = False,
    claim: Claim | None = None,
    continues: Path | None = None,
    initial: str | None = None,
    log: Log = lambda metrics, step: None,
    progress: Progress | None = None,
) -> None:
    """Train one model to each of its budgets and write its run folder; what was interrupted resumes where it stopped.

    The trunk warms up and then keeps its learning rate; where a budget's decay begins, a branch leaves the trunk,
    decays to 0, is measured and saved, and the trunk continues from where the branch left it. A branch sees exactly
    what a run of that budget alone would have seen. A run that was stopped, in whatever way, and resumed gives
    bitwise what one without a stop gives, on the CPU.

    Arguments:
        config: the run; its batch is that of all processes together.
        train: log-mels to train on, or waveforms.
        heldout: log-mels for rank and held-out loss.
        folder: the run folder, made in one atomic step at the end.
        identity: what the run folder's hash was made of, kept in its record.
        clips: train on the first so many; by default all.
        fabric: device, precision and processes, launched; by default one process on the CPU, whatever a scheduler has
            put into the environment.
        compiled: compile the blocks of the encoder.
        restart: restart an unfinished run.
        claim: on the run, in `folder.parent`, where the caller has it; by default it is claimed here.
        continues: see `find_trunk`.
        initial: where the weights lie that it begins with, whose hash is in `identity`; by default they are drawn.
        log: given metrics, by name, and the step, besides what the run folder keeps.
        progress: called with (steps done, steps in all, mean loss of late).

    Raises:
        DivergedError: the loss became NaN or infinite.
        ClaimLostError: another process took this run over.
        SonoscaleError: another process trains this run; the processes do not divide
            the batch; a waveform cannot be read (named).
    """
    fabric = runtime_of(fabric, config.train.precision)
    world, rank = fabric.world_size, fabric.global_rank
    share = config.train.share(world)
    clips, cost, schedule = clips or len(train), training_cost(config), make_schedule(config)
    mean, std = train.statistics(clips)
    objective, base = build_objective(config, mean=mean, std=std)
    if initial is not None:
        begin_with(objective, initial, identity.get("init"))
    kept = WholeModel(objective, sharded=cuts_models(fabric))
    prepare_for_speed(objective, compiled)
    model: Any = fabric.setup_module(objective)
    optimiser = make_optimiser(objective, base, config.train)
    wrapped: Any = fabric.setup_optimizers(optimiser)
    batches = Batches(
        train, clips=clips, frames=config.frames, batch_size=config.train.batch_size, seed=config.seed,
        rank=rank, world=world,
    )  # fmt: skip
    reads_ahead = isinstance(train, WaveStore) or fabric.device.type == "cuda"
    stream = Prefetch(batches, fabric.device, ahead=2 if reads_ahead else 0)
    front_end = LogMel(config.encoder.front_end).to(fabric.device)
    precision = str(fabric.strategy.precision.precision)
    run = RunFolder(
        config, folder, identity=identity, precision=precision, writes=rank == 0, claim=claim, continues=continues
    )
    monitor = rank_monitor(heldout)
    now = Training(objective, optimiser, stream, torch.Generator().manual_seed(config.seed + 1), fabric.device)
    example_hours = config.frames * train.hop_seconds / 3600
    report_every = max(1 if fabric.device.type == "cpu" else 10, schedule.steps // 5000)
    mine = slice(rank * share * config.train.accumulate, (rank + 1) * share * config.train.accumulate)

    def train_step(segment: Segment, step: int) -> None:
        now.lr = set_lr(optimiser, config.train, step, segment.budget)
        frames = as_log_mels(stream.next(), front_end)  # [B / world, frames, mels]
        draw = objective.draw(stream.batch_size, now.draws)  # of the whole batch, in every process
        draw = {name: fabric.to_device(rows[mine]) for name, rows in draw.items()}
        wrapped.zero_grad(set_to_none=True)
        for part in range(config.train.accumulate):
            rows = slice(part * share, (part + 1) * share)
            with fabric.no_backward_sync(model, enabled=part < config.train.accumulate - 1):
                loss = model(frames[rows], {name: each[rows] for name, each in draw.items()})
                fabric.backward(loss / config.train.accumulate)
            now.add_loss(loss.detach() / config.train.accumulate)
        now.grad_norm = torch.nn.utils.clip_grad_norm_(objective.parameters(), config.train.grad_clip)
        wrapped.step()
        objective.after_step(step)
        now.end_step(step + 1)

    def report(segment: Segment, step: int) -> None:
        loss = float(torch.as_tensor(fabric.all_reduce(now.smooth, reduce_op="mean")))
        if run.claim is not None and run.claim.stopping:
            stop.receive(signal.SIGTERM)
        stop.agree(fabric, time.monotonic() - saved >= 60 * config.train.checkpoint_minutes)
        try:
            run.warn(check_loss(loss, now.lowest, step=step, lr=now.lr))
        except SonoscaleError:
            run.discard()  # it would go wrong again
            raise
        now.lowest = min(now.lowest, loss)
        values = {"loss": loss, "lr": now.lr, "grad_norm": float(whole(now.grad_norm))}
        run.log(phase=segment.phase, **seen(step), **values)
        log({f"{segment.phase}/{name}": value for name, value in values.items()}, step)
        if progress:
            progress(schedule.before(now.segment, step), schedule.steps, loss)

    def measure(phase: str, step: int) -> tuple[RankReading, float]:
        """Rank and loss on the held-out clips."""
        model = kept.now()
        reading = read_rank(monitor, model, heldout, step=step, encoder_id=f"{folder.name}@{step}")
        run.warn(check_rank(reading, step=step))
        loss = heldout_loss(model, heldout, config)
        values = {"heldout_loss": loss, "rankme": reading.uncentred.value, "rankme_centred": reading.centred.value}
        run.log_heldout(phase, step, reading, values, seen(step))
        log({f"{phase}/{name}": value for name, value in values.items()}, step)
        return reading, loss

    def seen(step: int) -> dict[str, float]:
        examples = step * config.train.batch_size
        return {
            "step": step,
            "clips_seen": stream.clips_seen,
            "hours_seen": examples * example_hours,
            "flops_encoder": float(examples * cost.flops_encoder),
            "flops": float(examples * cost.flops),
            "seconds": now.seconds(),
        }

    def restore(state: dict[str, Any] | None) -> None:
        now.restore(state)
        schedule.check(now.segment, now.step)

    with closing(stream), stop_requests(together=world > 1) as stop, run.held(fabric, restart=restart) as to_do:
        if not to_do:
            return
        run.resume(restore)
        run.log_again(log)
        saved = time.monotonic()
        while now.segment < len(schedule.segments):
            segment = schedule.segments[now.segment]
            while True:
                on_trunk = segment.budget is None or now.step == segment.start
                if on_trunk and now.step in schedule.rank_at and now.measured < now.step:
                    measure("trunk", now.step)
                    now.measured = now.step
                if now.step == segment.stop:
                    break
                if segment.budget is not None:
                    now.leave_trunk()
                train_step(segment, now.step)
                if now.step % report_every == 0 or now.step == segment.stop:
                    report(segment, now.step)
                if stop.agreed or stop.due:
                    run.save_state(now.state())
                    saved, stop.due = time.monotonic(), False
                    stop.obey()
            if segment.budget is not None:
                reading, loss = measure(segment.phase, segment.stop)
                run.finish_budget(segment.stop, kept.now(), reading, loss, seen(segment.stop))
                now.return_to_trunk()
            now.segment += 1
        run.keep_trunk(now.state())
        rate = schedule.steps * config.train.batch_size * cost.flops / now.seconds()  # readings of the rank included
        peak = peak_flops(fabric.device)
        run.close(
            cost, clips=clips, train_seconds=train.seconds(clips), device=str(fabric.device),
            processes=world, compiled=compiled, flops_per_second=rate, mfu=rate / (peak * world) if peak else None,
        )  # fmt: skip
