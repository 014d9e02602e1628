"""Masks hide what their names say, as much as they are asked to, and no patch more than its share."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from sonoscale.encoders import patchify
from sonoscale.pretrain._masking import draw_masks
from sonoscale.pretrain._objective_config import MASKS, check_mask, kept_patches

T, F = 12, 4
PATCH_FRAMES, PATCH_MELS = 5, 3
BLOCK_KINDS = ["block", "inverse-block", "grouped"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(strategy, *, grid: tuple[int, int] = (T, F), ratio=0.75, batch=64, seed=0):
    return draw_masks(strategy, batch, *grid, kept_patches(strategy, *grid, ratio), seeded(seed))


def hidden_grids(strategy, *, grid: tuple[int, int] = (T, F), ratio=0.75, batch=64, seed=0) -> np.ndarray:
    """bool `[batch, time, mels]`: which regions of the spectrogram are hidden, found by cutting one up."""
    visible, hidden = draw(strategy, grid=grid, ratio=ratio, batch=batch, seed=seed)
    t, f = grid
    place = torch.arange(t)[:, None] * 1000 + torch.arange(f)  # each region of the spectrogram holds its own number
    frames = place.repeat_interleave(PATCH_FRAMES, 0).repeat_interleave(PATCH_MELS, 1)[None].float()
    patches = patchify(frames, PATCH_FRAMES, PATCH_MELS)[0]  # [N, P]
    assert torch.equal(patches.amin(1), patches.amax(1))
    number, example = patches[:, 0].long(), torch.arange(batch)[:, None]
    grids = torch.zeros(batch, t, f, dtype=torch.bool)
    grids[example, number[hidden] // 1000, number[hidden] % 1000] = True
    assert not grids[example, number[visible] // 1000, number[visible] % 1000].any()
    return grids.numpy()


def region_sizes(grids):
    """Sizes of all connected regions of true cells, which meet at their sides."""
    sizes = []
    for grid in grids:
        labels = np.zeros(grid.shape, dtype=int)
        ndimage.label(grid, output=labels)
        sizes += np.bincount(labels.ravel())[1:].tolist()
    return np.array(sizes)


def mean_size(grids):
    return region_sizes(grids).mean()


GRIDS = [
    *itertools.product(MASKS, [(12, 4), (4, 12), (7, 5), (3, 3)]),
    *itertools.product(["random", "time", "block", "inverse-block", "grouped"], [(9, 1), (3, 1)]),
    *itertools.product(["random", "frequency", "block", "inverse-block", "grouped"], [(1, 8), (1, 3)]),
    ("time", (2, 1)),
    ("frequency", (1, 2)),
    ("time-frequency", (2, 2)),
]


@pytest.mark.parametrize("ratio", [0.35, 0.5, 0.75, 0.8])
@pytest.mark.parametrize(("strategy", "grid"), GRIDS)
def test_masks_partition_the_patches(strategy, grid: tuple[int, int], ratio):
    patches, kept = grid[0] * grid[1], kept_patches(strategy, *grid, ratio)
    check_mask(strategy, *grid, kept)
    visible, hidden = draw(strategy, grid=grid, ratio=ratio, batch=32)
    assert visible.dtype == hidden.dtype == torch.int64
    assert visible.shape == (32, kept)
    assert hidden.shape == (32, patches - kept)
    assert (visible.diff(dim=1) > 0).all()
    assert (hidden.diff(dim=1) > 0).all()
    together = torch.cat([visible, hidden], dim=1).sort(dim=1).values
    assert torch.equal(together, torch.arange(patches).expand(32, -1))


@pytest.mark.parametrize("strategy", ["random", *BLOCK_KINDS])
def test_any_number_of_patches_can_be_visible(strategy):
    for kept in range(1, T * F):
        visible, hidden = draw_masks(strategy, 8, T, F, kept, seeded())
        assert (visible.shape, hidden.shape) == ((8, kept), (8, T * F - kept))


def test_random_masks_are_the_same_as_ever():
    visible, hidden = draw_masks("random", 64, T, F, 12, seeded(3))
    order = torch.rand(64, T * F, generator=seeded(3)).argsort(dim=1)  # runs made before there were strategies
    assert torch.equal(visible, order[:, :12].sort(dim=1).values)
    assert torch.equal(hidden, order[:, 12:].sort(dim=1).values)


@pytest.mark.parametrize("strategy", MASKS)
def test_masks_follow_the_seed_and_the_batch_is_drawn_at_once(strategy):
    one, other, third = draw(strategy, seed=1), draw(strategy, seed=1), draw(strategy, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], third[0])
    assert len({tuple(row) for row in one[0].tolist()}) > 3  # examples differ (there are 4 ways to see one band)
    generator = seeded(1)
    first, second = (draw_masks(strategy, 64, T, F, one[0].shape[1], generator)[0] for _ in range(2))
    assert torch.equal(first, one[0])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("strategy", MASKS)
def test_as_much_is_drawn_whatever_the_masks(strategy):
    def state_after(seed):
        generator = seeded(seed)
        draw_masks(strategy, 16, T, F, 12, generator)
        after, plain = torch.rand(4, generator=generator), torch.rand(4096, generator=seeded(seed))
        return [i for i in range(4093) if torch.equal(plain[i : i + 4], after)]

    assert len({tuple(state_after(seed)) for seed in range(5)}) == 1


@pytest.mark.parametrize("grid", [(12, 4), (4, 12)])
def test_time_hides_whole_columns(grid):
    grids = hidden_grids("time", grid=grid)
    assert (grids.all(axis=2) == grids.any(axis=2)).all()
    assert (grids.all(axis=2).sum(axis=1) == round(grid[0] * 0.75)).all()


@pytest.mark.parametrize("grid", [(12, 4), (4, 12)])
def test_frequency_hides_whole_bands(grid):
    grids = hidden_grids("frequency", grid=grid)
    assert (grids.all(axis=1) == grids.any(axis=1)).all()
    assert (grids.all(axis=1).sum(axis=1) == round(grid[1] * 0.75)).all()


@pytest.mark.parametrize("ratio", [0.5, 0.75, 0.8])
def test_time_frequency_hides_columns_and_bands_and_nothing_else(ratio):
    grids = hidden_grids("time-frequency", ratio=ratio)
    columns, bands = np.all(grids, axis=2), np.all(grids, axis=1)  # hidden as a whole
    assert (grids == (columns[:, :, None] | bands[:, None, :])).all()
    for hidden_wholly in (columns, bands):
        assert hidden_wholly.any(axis=1).all()
        assert len(set(hidden_wholly.sum(axis=1).tolist())) == 1


def test_time_frequency_divides_the_hiding_between_the_axes():
    grids = hidden_grids("time-frequency")  # 12 visible: of 12 x 1, 6 x 2, 4 x 3, the second hides half of each
    assert (grids.all(axis=2).sum(axis=1) == 6).all()
    assert (grids.all(axis=1).sum(axis=1) == 2).all()


@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.75, 0.85])
@pytest.mark.parametrize("grid", [(12, 4), (8, 8), (24, 8), (9, 16)])
def test_no_way_to_keep_as_many_hides_more_alike_shares_of_time_and_mels(grid: tuple[int, int], ratio):
    (t, f), grids = grid, hidden_grids("time-frequency", grid=grid, ratio=ratio, batch=1)
    ways = [(r, c) for r in range(1, t) for c in range(1, f) if r * c == (~grids[0]).sum()]
    unlike = abs(np.all(grids, axis=2).sum() / t - np.all(grids, axis=1).sum() / f)
    assert unlike == pytest.approx(min(abs(r / t - c / f) for r, c in ways))


@pytest.mark.parametrize("strategy", MASKS)
def test_hidden_patches_are_where_they_are_said_to_be(strategy):
    _, hidden = draw(strategy, batch=8)
    frames = torch.randn(8, T * PATCH_FRAMES, F * PATCH_MELS, generator=seeded(5))
    for b, index in ((b, i) for b, row in enumerate(hidden.tolist()) for i in row):
        t, f = divmod(index, F)
        column, band = slice(t * PATCH_FRAMES, (t + 1) * PATCH_FRAMES), slice(f * PATCH_MELS, (f + 1) * PATCH_MELS)
        frames[b, column, band] = torch.nan
    gone = patchify(frames, PATCH_FRAMES, PATCH_MELS).isnan()
    assert torch.equal(gone.all(dim=2), gone.any(dim=2))
    assert torch.equal(gone.all(dim=2).nonzero()[:, 1].view(8, -1), hidden)
    silent = frames.isnan().numpy()
    if strategy == "time":  # every frame is visible in all its mels or in none
        assert (silent.all(axis=2) == silent.any(axis=2)).all()
    if strategy == "frequency":  # every mel is visible in all frames or in none
        assert (silent.all(axis=1) == silent.any(axis=1)).all()


@pytest.mark.parametrize(("grid", "ratio"), [((12, 4), 0.4), ((12, 4), 0.75), ((32, 8), 0.4), ((32, 8), 0.75)])
def test_blocks_hold_together(grid, ratio):
    grids = {kind: hidden_grids(kind, grid=grid, ratio=ratio, batch=100) for kind in ("random", *BLOCK_KINDS)}
    scattered = mean_size(~grids["random"])
    assert mean_size(~grids["inverse-block"]) > 2 * scattered
    assert mean_size(~grids["block"]) > 1.3 * scattered
    assert mean_size(~grids["grouped"]) > 1.5 * scattered
    if ratio < 0.5:  # above, the hidden patches of any mask touch each other
        assert mean_size(grids["block"]) > 2 * mean_size(grids["random"])


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(("grid", "block"), [((12, 4), (5, 2)), ((64, 8), (5, 5)), ((1, 9), (1, 5)), ((6, 3), (4, 2))])
def test_all_but_the_last_block_are_whole(grid, block, ratio):
    area = block[0] * block[1]
    beyond = [(side // 2, side // 2) for side in block]  # where a block may lie besides

    def outside_whole_blocks(grids):
        """How many patches of each grid are in no rectangle of true patches."""
        t, f = (slice(side // 2, side // 2 + n) for side, n in zip(block, grid, strict=True))
        wide = [np.pad(g, beyond, constant_values=True) for g in grids]
        whole = np.stack([ndimage.binary_opening(w, np.ones(block))[t, f] for w in wide])
        return (grids > whole).sum(axis=(1, 2))

    assert outside_whole_blocks(hidden_grids("block", grid=grid, ratio=ratio)).max() < area
    assert outside_whole_blocks(~hidden_grids("inverse-block", grid=grid, ratio=ratio)).max() < area


def test_a_visible_set_smaller_than_a_block_is_one_piece():
    visible = ~hidden_grids("inverse-block", grid=(24, 8), ratio=0.985)  # 3 patches of blocks of 25
    assert visible[0].sum() == 3
    assert (region_sizes(visible) == 3).all()
    assert (visible.any(axis=2).sum(axis=1) == 1).all()  # within a column


@pytest.mark.parametrize("grid", [(12, 4), (7, 5), (9, 1), (1, 8)])
def test_grouped_hides_whole_tiles_but_one(grid):
    grids = hidden_grids("grouped", grid=grid, ratio=0.6)
    tiles = [grids[:, t : t + 2, f : f + 2] for t in range(0, grid[0], 2) for f in range(0, grid[1], 2)]
    parted = sum((~tile.all(axis=(1, 2)) & tile.any(axis=(1, 2))).astype(int) for tile in tiles)
    assert np.max(parted) <= 1
    assert all(tile.any() for tile in tiles)


@pytest.mark.parametrize("strategy", MASKS)
def test_every_patch_has_its_share(strategy):
    draws = 6000
    visible, _ = draw(strategy, batch=draws)
    share = torch.bincount(visible.flatten(), minlength=T * F) / draws
    expected = visible.shape[1] / (T * F)
    if strategy in BLOCK_KINDS:  # blocks cover the ends less
        assert share.min() > expected / 2
        assert share.max() < expected * 2
    else:
        assert (share - expected).abs().max() < 5 * (expected * (1 - expected) / draws) ** 0.5


@pytest.mark.parametrize("strategy", MASKS)
def test_masks_favour_no_end_of_either_axis(strategy):
    draws = 6000
    share = hidden_grids(strategy, batch=draws).mean(axis=0)  # [T, F]
    error = (2 * 0.25 * 0.75 / draws) ** 0.5
    assert np.abs(share - share[::-1]).max() < 5 * error
    assert np.abs(share - share[:, ::-1]).max() < 5 * error


@pytest.mark.parametrize("ratio", np.linspace(0.02, 0.98, 33).tolist())
@pytest.mark.parametrize("grid", [(12, 4), (5, 9), (2, 3)])
def test_kept_is_the_nearest_that_the_strategy_can_give(grid, ratio):
    t, f = grid
    possible = {
        "random": range(t * f + 1),
        "time": [r * f for r in range(1, t)],
        "frequency": [c * t for c in range(1, f)],
        "time-frequency": [r * c for r in range(1, t) for c in range(1, f)],
    }
    target = t * f * (1 - ratio)
    for strategy, numbers in possible.items():
        kept = kept_patches(strategy, t, f, ratio)
        assert kept in numbers
        assert abs(kept - target) == pytest.approx(min(abs(n - target) for n in numbers))
        if strategy != "random":
            check_mask(strategy, t, f, kept)
    assert {kept_patches(kind, t, f, ratio) for kind in BLOCK_KINDS} == {kept_patches("random", t, f, ratio)}


def test_of_two_products_equally_near_the_more_even_is_taken():
    assert kept_patches("time-frequency", 12, 4, 35 / 48) == 12  # 6 x 2, not 7 x 2, to stand for 13


@pytest.mark.parametrize(
    ("strategy", "grid", "kept", "words"),
    [
        ("speckle", (12, 4), 12, ["objective.mask = 'speckle'", "time-frequency", "inverse-block"]),
        ("time", (1, 4), 2, ["objective.mask = time ", "has 1:", "lengthen train.clip_seconds"]),
        ("frequency", (12, 1), 3, ["objective.mask = frequency ", "has 1:", "lower encoder.patch_mels"]),
        ("time-frequency", (1, 4), 2, ["objective.mask = time-frequency ", "lengthen train.clip_seconds"]),
        ("time-frequency", (12, 1), 3, ["objective.mask = time-frequency ", "lower encoder.patch_mels"]),
        ("block", (2, 2), 1, ["objective.mask = block", "2 x 2", "objective.mask = random"]),
        ("inverse-block", (1, 2), 1, ["objective.mask = inverse-block", "1 x 2", "objective.mask = random"]),
        ("grouped", (2, 2), 1, ["objective.mask = grouped", "one group", "lengthen train.clip_seconds"]),
        ("random", (12, 4), 0, ["objective.mask_ratio", "leaves 0 of 48 patches", "away from 1"]),
        ("block", (12, 4), 48, ["objective.mask_ratio", "leaves 48 of 48 patches", "away from 0"]),
        ("time", (12, 4), 13, ["cannot leave 13 patches", "12 x 4", "12, at objective.mask_ratio = 0.75"]),
        ("frequency", (12, 4), 13, ["cannot leave 13 patches", "12, at objective.mask_ratio = 0.75"]),
        ("time-frequency", (12, 4), 13, ["cannot leave 13 patches", "12, at objective.mask_ratio = 0.75"]),
    ],
)
def test_masks_that_cannot_be_are_refused(strategy, grid: tuple[int, int], kept, words):
    with pytest.raises(ValueError) as caught:
        check_mask(strategy, *grid, kept)
    with pytest.raises(ValueError) as drawn:
        draw_masks(strategy, 4, *grid, kept, seeded())
    assert str(drawn.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("strategy", MASKS)
def test_no_mask_hides_some_of_a_single_patch(strategy):
    with pytest.raises(ValueError, match=r"^objective\.mask"):
        check_mask(strategy, 1, 1, kept_patches(strategy, 1, 1, 0.5))
