"""Metrics against closed forms, second implementations and the properties they promise."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import structural_similarity
from torch import Tensor

from cyclegan_course import metrics, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.table import COLUMNS, format_by_metric, over_seeds, row_from_dict
from cyclegan_course.translate import weights_folder


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Uniform noise in [-1, 1]."""
    return torch.rand(*shape, generator=generator(seed)) * 2 - 1


def blobs(count: int, size: int = 64, seed: int = 0) -> Tensor:
    """Smooth colourful pictures with a little texture, within [-0.8, 0.8]."""
    coarse = noise(count, 3, 6, 6, seed=seed)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return 0.6 * smooth + 0.2 * noise(count, 3, size, size, seed=seed + 1000)


# --- against the truth --------------------------------------------------------------------------


def test_psnr_of_a_uniform_offset_has_a_closed_form():
    truth = 0.5 * noise(2, 3, 16, 16)
    offset = torch.tensor([0.1, 0.2]).reshape(2, 1, 1, 1)
    expected = torch.tensor([20 * math.log10(2 / 0.1), 20 * math.log10(2 / 0.2)])
    torch.testing.assert_close(
        metrics.psnr(truth + offset, truth, reduction="none"), expected, rtol=1e-4, atol=0
    )
    # The mean is that of the decibels, not the decibels of the mean error.
    assert metrics.psnr(truth + offset, truth).item() == pytest.approx(
        expected.mean().item(), rel=1e-4
    )


def test_l1_is_in_units_of_pictures_from_0_to_1():
    truth = torch.full((2, 3, 4, 4), -1.0)
    fake = truth.clone()
    fake[1] = 1.0
    assert metrics.l1(fake, truth, reduction="none").tolist() == [0.0, 1.0]
    assert metrics.l1(fake, truth).item() == 0.5


def test_equal_pictures_have_perfect_scores():
    truth = noise(2, 3, 16, 16)
    assert metrics.psnr(truth, truth).item() == math.inf
    assert metrics.ssim(truth, truth).item() == pytest.approx(1, abs=1e-6)
    assert metrics.l1(truth, truth).item() == 0


def test_ssim_agrees_with_scikit_image():
    truth = blobs(10, 40)  # more than one chunk
    fake = (truth + 0.3 * noise(10, 3, 40, 40, seed=1)).clamp(-1, 1)
    expected = [
        structural_similarity(
            (f.numpy().astype(np.float64) + 1) / 2,
            (t.numpy().astype(np.float64) + 1) / 2,
            channel_axis=0,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for f, t in zip(fake, truth, strict=True)
    ]
    values = metrics.ssim(fake, truth, reduction="none")
    assert values.tolist() == pytest.approx(expected, abs=1e-4)
    assert metrics.ssim(fake, truth).item() == pytest.approx(np.mean(expected), abs=1e-4)


def test_ssim_of_flat_pictures_has_a_closed_form_with_black_at_0():
    """Only the means count: (2 a b + C1) / (a^2 + b^2 + C1), a and b in [0, 1], C1 = 0.01^2."""
    a, b = 0.25, 0.75
    fake, truth = (torch.full((1, 3, 16, 16), 2 * value - 1) for value in (a, b))
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    # float32 leaves a little variance in flat pictures
    assert metrics.ssim(fake, truth).item() == pytest.approx(expected, abs=1e-3)


# --- blur ---------------------------------------------------------------------------------------


def test_blur_keeps_flat_pictures_and_nearly_the_mean():
    flat = torch.tensor([-0.5, 0.1, 0.9]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    torch.testing.assert_close(metrics.blur(flat), flat)
    images = blobs(4)
    means = metrics.blur(images).mean(dim=(2, 3))
    torch.testing.assert_close(means, images.mean(dim=(2, 3)), rtol=0, atol=0.01)


def test_blur_of_one_point_is_the_gaussian():
    point = torch.zeros(1, 3, 65, 65)
    point[..., 32, 32] = 1
    sigma = 65 / 32  # the default at this size
    spread = metrics.blur(point)[0, 0]
    offsets = torch.arange(65) - 32
    assert (spread.sum(dim=1) * offsets**2).sum().item() == pytest.approx(sigma**2, rel=0.05)
    assert (spread[32, 34] / spread[32, 32]).item() == pytest.approx(
        math.exp(-(2**2) / (2 * sigma**2)), rel=1e-4
    )


@pytest.mark.parametrize("sigma", [0, -1, 6])
def test_blur_refuses_a_sigma_that_does_not_fit(sigma):
    with pytest.raises(CourseError, match="sigma"):
        metrics.blur(noise(1, 3, 16, 16), sigma)


# --- sliced Wasserstein distance ----------------------------------------------------------------


def test_laplacian_pyramid_adds_up_to_the_picture():
    images = noise(2, 3, 100, 70)
    levels = metrics.laplacian_pyramid(images)
    assert [tuple(level.shape[-2:]) for level in levels] == [(100, 70), (50, 35), (25, 17)]
    rebuilt = levels[-1]
    for level in reversed(levels[:-1]):
        rebuilt = level + torch.nn.functional.interpolate(
            rebuilt, level.shape[-2:], mode="bilinear"
        )
    torch.testing.assert_close(rebuilt, images)


def test_wasserstein_1d_of_shifted_gaussians_is_the_shift():
    a = torch.randn(20_000, 3, generator=generator(0))
    b = torch.randn(15_000, 3, generator=generator(1)) + torch.tensor([0.5, -2.0, 3.0])
    expected = torch.tensor([0.5, 2.0, 3.0])
    torch.testing.assert_close(metrics.wasserstein_1d(a, b), expected, rtol=0, atol=0.04)


def test_wasserstein_1d_of_scaled_gaussians_has_a_closed_form():
    a = torch.randn(20_000, 1, generator=generator(0))
    b = 3 * torch.randn(20_000, 1, generator=generator(1))
    expected = 2 * math.sqrt(2 / math.pi)  # |3 - 1| E|z|
    assert metrics.wasserstein_1d(a, b).item() == pytest.approx(expected, abs=0.04)


def test_wasserstein_1d_agrees_with_scipy():
    from scipy.stats import wasserstein_distance

    a = torch.randn(300, 1, generator=generator(2))
    b = torch.rand(300, 1, generator=generator(3))
    expected = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert metrics.wasserstein_1d(a, b).item() == pytest.approx(expected, rel=1e-5)
    assert metrics.wasserstein_1d(b, a).item() == pytest.approx(expected, rel=1e-5)


def test_equal_sets_are_at_distance_zero_in_any_order():
    images, reference = blobs(6), blobs(6, seed=1)
    shuffled = images[torch.randperm(6, generator=generator())]
    assert metrics.sliced_wasserstein(images, images) == 0
    assert metrics.sliced_wasserstein(shuffled, images) == pytest.approx(0, abs=1e-6)
    assert metrics.sliced_wasserstein(shuffled, reference) == pytest.approx(
        metrics.sliced_wasserstein(images, reference), rel=1e-5
    )


def test_distance_is_deterministic_and_leaves_the_global_generator_alone():
    images, reference = blobs(4), blobs(4, seed=1)
    state = torch.get_rng_state()
    first = metrics.sliced_wasserstein(images, reference)
    assert metrics.sliced_wasserstein(images, reference) == first
    assert metrics.sliced_wasserstein(images, reference, seed=1) != first
    assert torch.equal(torch.get_rng_state(), state)


def test_distance_is_measured_in_deviations_of_the_reference():
    images, reference = blobs(6), blobs(6, seed=1)
    distance = metrics.sliced_wasserstein(images, reference)
    assert metrics.sliced_wasserstein(images / 2, reference / 2) == pytest.approx(
        distance, rel=1e-4
    )
    # Hence it is not symmetric: from a set of half the contrast, the same gap is twice as wide.
    one_way = metrics.sliced_wasserstein(images, images / 2)
    assert metrics.sliced_wasserstein(images / 2, images) == pytest.approx(one_way / 2, rel=1e-4)


@pytest.mark.parametrize("damage", ["noise", "blur", "colour"])
def test_distance_grows_with_the_damage(damage):
    images, reference = blobs(8), blobs(8, seed=1)
    damages = {
        "noise": lambda x, s: (x + s * noise(*x.shape, seed=5)).clamp(-1, 1),
        "blur": lambda x, s: metrics.blur(x, 2 * s) if s else x,
        "colour": lambda x, s: x + s / 2 * torch.tensor([0.3, 0.0, -0.3]).reshape(3, 1, 1),
    }
    distances = [
        metrics.sliced_wasserstein(damages[damage](images, strength), reference)
        for strength in (0, 0.3, 0.6, 1)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 1.5 * distances[0]


def test_sets_of_different_counts():
    many = blobs(24)
    same_law = metrics.sliced_wasserstein(blobs(7, seed=1), many)
    same_law_equal = metrics.sliced_wasserstein(blobs(24, seed=1), many)
    far = metrics.sliced_wasserstein(blobs(7, seed=1) + 0.2, many)
    assert same_law_equal < same_law < far
    # Every picture twice is the same distribution.
    assert metrics.sliced_wasserstein(many.repeat(2, 1, 1, 1), many) == pytest.approx(0, abs=2e-3)


def test_levels_tell_where_the_difference_lies():
    images = blobs(6)
    shifted = metrics.sliced_wasserstein_levels(images + 0.2, images)
    assert list(shifted) == [64, 32, 16]
    assert shifted[64] < 1e-3 < 0.1 < shifted[16]  # a flat colour lives in the coarsest level
    grainy = metrics.sliced_wasserstein_levels(images + 0.1 * noise(*images.shape, seed=7), images)
    assert grainy[64] > grainy[32] > grainy[16]


def test_flat_references_give_a_finite_distance():
    assert math.isfinite(metrics.sliced_wasserstein(blobs(2), torch.zeros(2, 3, 64, 64)))


# --- Reinhard -----------------------------------------------------------------------------------


def lab_statistics(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    lab = rgb2lab((images.permute(0, 2, 3, 1).double().numpy() + 1) / 2)
    return lab.mean(axis=(1, 2)), lab.std(axis=(1, 2))


def gentle(count: int, centre: tuple[float, float, float], spread: float, seed: int) -> Tensor:
    """Pictures made in CIELAB, well inside the gamut."""
    rng = np.random.Generator(np.random.PCG64(seed))
    lab = rng.uniform(-1, 1, (count, 24, 24, 3)) * spread + np.array(centre)
    return torch.from_numpy(lab2rgb(lab)).permute(0, 3, 1, 2).float() * 2 - 1


def test_reinhard_gives_the_average_statistics_of_the_reference():
    images = gentle(3, (60, 10, -5), 6, seed=0)
    reference = torch.cat([gentle(2, (50, -5, 10), 9, seed=1), gentle(3, (55, 0, 5), 5, seed=2)])
    moved = metrics.reinhard(images, reference)
    mean, deviation = lab_statistics(moved)
    reference_mean, reference_deviation = lab_statistics(reference)
    for picture in range(3):
        np.testing.assert_allclose(mean[picture], reference_mean.mean(axis=0), atol=0.02)
        np.testing.assert_allclose(deviation[picture], reference_deviation.mean(axis=0), atol=0.02)
    assert moved.shape == images.shape
    assert moved.dtype == torch.float32


def test_reinhard_changes_nothing_where_the_statistics_are_equal():
    images = gentle(1, (55, 5, 5), 8, seed=0)
    torch.testing.assert_close(metrics.reinhard(images, images), images, rtol=0, atol=1e-3)
    mirrored = images.flip(-1)
    torch.testing.assert_close(metrics.reinhard(images, mirrored), images, rtol=0, atol=1e-3)


def test_reinhard_stays_in_range_and_survives_flat_pictures(recwarn):
    bold = metrics.reinhard(noise(2, 3, 16, 16), noise(3, 3, 12, 20, seed=1).sign())
    assert bold.abs().max() <= 1
    flat = metrics.reinhard(torch.zeros(1, 3, 16, 16), gentle(2, (50, -5, 10), 9, seed=1))
    assert flat.isfinite().all()
    assert flat.std(dim=(2, 3)).max() < 1e-3
    assert len(recwarn) == 0


# --- the table ----------------------------------------------------------------------------------


def scene(seed: int, domain: str, size: int) -> np.ndarray:
    picture = blobs(1, size, seed=seed)[0] * (1 if domain == "A" else 0.5)
    return ((picture.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)


@pytest.fixture
def tiny_world(monkeypatch):
    """A world where B is A with half the contrast."""

    def held_out(world: str, domain: str, count: int, size: int, start: int = 0) -> np.ndarray:
        return np.stack([scene(seed, domain, size) for seed in range(start, start + count)])

    def open_sealed_pairs(
        world: str, count: int, size: int, start: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        return held_out(world, "A", count, size, start), held_out(world, "B", count, size, start)

    monkeypatch.setattr(worlds, "held_out", held_out)
    monkeypatch.setattr(worlds, "open_sealed_pairs", open_sealed_pairs)


def rows_of(rows: list[metrics.Row], direction: str) -> dict[str, metrics.Row]:
    return {row.method: row for row in rows if row.direction == direction}


def numbers(row: metrics.Row) -> tuple:
    return tuple(getattr(row, name) for name in COLUMNS)


@pytest.mark.usefixtures("tiny_world")
def test_a_translator_that_does_nothing_scores_as_the_untouched_input():
    rows = metrics.evaluate_translation("tiny", lambda x: x, lambda x: x, count=5, size=48)
    for direction in ("A to B", "B to A"):
        by_method = rows_of(rows, direction)
        assert list(by_method) == ["untouched", "Reinhard", "CycleGAN", "truth"]
        assert numbers(by_method["CycleGAN"]) == numbers(by_method["untouched"])
        assert by_method["truth"].psnr is None
        assert by_method["truth"].distance < by_method["untouched"].distance


@pytest.mark.usefixtures("tiny_world")
def test_the_right_translator_gets_nearly_perfect_scores_each_way():
    # Levels are rounded to 8 bits before and after, so not quite perfect.
    rows = metrics.evaluate_translation(
        "tiny", lambda a: a / 2, lambda b: b * 2, count=5, size=48, batch_size=2
    )
    for direction in ("A to B", "B to A"):
        row = rows_of(rows, direction)
        assert row["CycleGAN"].psnr > 45 > row["untouched"].psnr
        assert row["CycleGAN"].psnr <= metrics.PSNR_CEILING
        assert row["CycleGAN"].distance == pytest.approx(row["truth"].distance, rel=0.02)


@pytest.mark.usefixtures("tiny_world")
def test_reference_pictures_are_of_scenes_that_are_not_translated(monkeypatch):
    asked = []
    held_out = worlds.held_out
    monkeypatch.setattr(
        worlds,
        "held_out",
        lambda world, domain, count, size, start=0: (
            asked.append((domain, count, start)) or held_out(world, domain, count, size, start)
        ),
    )
    # The pairs come from the fixture's own function, so only the references are seen here.
    metrics.evaluate_translation("tiny", lambda x: x, lambda x: x, count=4, size=32)
    assert sorted(asked) == [("A", 4, 4), ("B", 4, 4)]


def test_equal_pictures_count_as_equal_to_8_bits_in_the_table():
    images = blobs(3)
    row = metrics.measure("A to B", "CycleGAN", images, blobs(3, seed=1), truth=images)
    assert row.psnr == row.blurred_psnr == pytest.approx(58.92, abs=0.01)


def test_evaluation_without_a_truth_has_distances_alone():
    source, fake, reference = blobs(4), blobs(4, seed=1), blobs(6, seed=2)
    rows = metrics.evaluate_unpaired(fake, reference, source, direction="B to A")
    assert [row.method for row in rows] == ["untouched", "Reinhard", "CycleGAN"]
    assert {numbers(row)[:6] for row in rows} == {(None,) * 6}
    assert "PSNR" not in metrics.format_table(rows)
    assert rows[2].distance == metrics.sliced_wasserstein(fake, reference)
    assert [row.method for row in metrics.evaluate_unpaired(fake, reference)] == ["CycleGAN"]


ROWS = [
    metrics.Row("A to B", "CycleGAN", 21.456, 0.65432, 0.05678, 25.1, 0.9, 0.04, 0.31234),
    metrics.Row("A to B", "truth", distance=0.05),
]
# As they are measured in full: two runs, their mean, and the floor.
FULL = [
    metrics.Row(
        "A to B", "seed1", psnr=20.0, correspondence=1.0, kid=0.01234,
        intervals={"psnr": (19.7, 20.3), "correspondence": (0.9434, 1.0), "kid": (0.01, 0.0147)},
        step=300,
    ),
    metrics.Row("A to B", "seed2", psnr=22.0, correspondence=0.5, kid=-0.001, step=300),
    metrics.Row("B to A", "truth", kid=0.0),
]  # fmt: skip


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_table_is_aligned_markdown():
    table = metrics.format_table(ROWS)
    assert len({len(line) for line in table.splitlines()}) == 1
    cells = cells_of(table)
    assert cells[0][:5] == ["direction", "method", "PSNR (dB)", "SSIM", "L1"]
    assert all(set(cell) <= set("-:") for cell in cells[1])
    assert [cell.endswith(":") for cell in cells[1]] == [False] * 2 + [True] * 7
    assert cells[2] == [
        "A to B", "CycleGAN", "21.46", "0.654", "0.0568", "25.10", "0.900", "0.0400", "0.3123"
    ]  # fmt: skip
    assert cells[3] == ["A to B", "truth", *"------", "0.0500"]


def test_columns_without_a_value_are_left_out_and_intervals_shown_on_request():
    assert cells_of(metrics.format_table(FULL))[0] == [
        "direction", "method", "PSNR (dB)", "correspondence", "KID"
    ]  # fmt: skip
    cells = cells_of(metrics.format_table(FULL, intervals=True))
    # A share of 1 cannot be 1.03, so both its ends are shown.
    assert cells[2][2:] == ["20.00 ± 0.30", "1.000 (0.943 to 1.000)", "0.0123 ± 0.0023"]
    assert cells[3][2:] == ["22.00", "0.500", "-0.0010"]
    chosen = metrics.format_table(FULL, columns=["kid"])
    assert cells_of(chosen)[0] == ["direction", "method", "KID"]


def test_a_table_by_metric_has_a_block_a_direction_and_says_which_way_is_better():
    blocks = format_by_metric(FULL).split("\n\n")
    first, second = map(cells_of, blocks)
    assert first[0] == ["A to B", "better", "seed1", "seed2"]
    assert [line[:2] for line in first[2:]] == [
        ["PSNR (dB)", "higher"], ["correspondence", "higher"], ["KID", "lower"]
    ]  # fmt: skip
    assert first[2][2:] == ["20.00 ± 0.30", "22.00"]
    assert [line[0] for line in second[::2]] == ["B to A", "KID"]


def test_several_seeds_give_their_mean_and_range():
    both = over_seeds(FULL[:2], "mean of 2 seeds")
    assert (both.psnr, both.intervals["psnr"], both.seeds) == (21.0, (20.0, 22.0), 2)
    assert both.ssim is None
    assert over_seeds([FULL[0], FULL[2]], "some").psnr is None  # not a mean of what is there
    shown = cells_of(metrics.format_table([both], intervals=True))[2]
    assert shown[2] == "21.00 (20.00 to 22.00)"
    with pytest.raises(CourseError, match="at least one seed"):
        over_seeds([], "none")


def test_csv_and_json_give_the_rows_back(tmp_path):
    rows = [*FULL, *ROWS, over_seeds(FULL[:2], "mean")]
    metrics.write_csv(rows, tmp_path / "new" / "table.csv")
    metrics.write_json(rows, tmp_path / "table.json", {"size": 64})
    loaded = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert loaded["protocol"] == {"size": 64}
    assert [row_from_dict(row) for row in loaded["rows"]] == rows
    with open(tmp_path / "new" / "table.csv", encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    words, whole = ("direction", "method"), ("step", "seeds")
    assert [
        row_from_dict(
            {
                key: value if key in words else int(value) if key in whole else float(value)
                for key, value in row.items()
                if value
            }
        )
        for row in read
    ] == rows


def test_rows_of_the_shipped_cards_are_read_whichever_version_wrote_them():
    for card in sorted(weights_folder().glob("*.json")):
        for row in json.loads(card.read_text(encoding="utf-8"))["result"]["rows"]:
            loaded = row_from_dict(row)
            assert loaded.distance == row["distance"]
            assert loaded.psnr == row["psnr"]
    old = {name: 0.5 for name in list(COLUMNS)[:7]} | {"direction": "A to B", "method": "CycleGAN"}
    assert metrics.Row(**old) == row_from_dict(old)


def test_a_failed_write_leaves_the_older_table(tmp_path):
    path = tmp_path / "table.json"
    metrics.write_json(ROWS, path)
    before = path.read_bytes()
    broken = metrics.Row("A to B", "CycleGAN", math.nan, 0, 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="JSON"):
        metrics.write_json([broken], path)
    with pytest.raises(CourseError):
        metrics.write_json(ROWS, tmp_path)  # a folder
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]


# --- wrong input --------------------------------------------------------------------------------

GOOD = noise(2, 3, 32, 32)
SPOILT = GOOD.clone()
SPOILT[1, 2, 3, 4] = math.nan
BAD = {
    "NaN": SPOILT,
    "shape": GOOD[0],
    r"\(N, 3, H, W\)": GOOD[:, :1],
    "float": (GOOD * 127).to(torch.uint8),
    r"\[-1, 1\]": GOOD * 255,
}


@pytest.mark.parametrize("words", BAD)
@pytest.mark.parametrize(
    "measure",
    [
        lambda bad: metrics.psnr(bad, bad),
        lambda bad: metrics.ssim(bad, bad),
        lambda bad: metrics.l1(bad, bad),
        lambda bad: metrics.blur(bad),
        lambda bad: metrics.sliced_wasserstein(bad, GOOD),
        lambda bad: metrics.sliced_wasserstein(GOOD, bad),
        lambda bad: metrics.reinhard(bad, GOOD),
        lambda bad: metrics.reinhard(GOOD, bad),
        lambda bad: metrics.evaluate_unpaired(bad, GOOD),
    ],
)
def test_wrong_pictures_are_named(measure, words):
    with pytest.raises(CourseError, match=words):
        measure(BAD[words])


def test_sizes_that_cannot_be_compared_are_named():
    with pytest.raises(CourseError, match="same size"):
        metrics.psnr(GOOD, GOOD[:1])
    with pytest.raises(CourseError, match="one size"):
        metrics.sliced_wasserstein(GOOD, noise(2, 3, 64, 64))
    with pytest.raises(CourseError, match="16"):
        metrics.sliced_wasserstein(noise(2, 3, 12, 40), noise(2, 3, 12, 40))
    with pytest.raises(CourseError, match="larger"):
        metrics.ssim(noise(2, 3, 10, 40), noise(2, 3, 10, 40))


# --- on a real world ----------------------------------------------------------------------------


def test_night_is_measured_in_both_directions():
    rows = metrics.evaluate_translation("night", lambda x: x, lambda x: x, count=8, size=64)
    for direction in ("A to B", "B to A"):
        row = rows_of(rows, direction)
        assert numbers(row["CycleGAN"]) == numbers(row["untouched"])
        assert row["Reinhard"].psnr > row["untouched"].psnr + 3
        assert row["truth"].distance < row["Reinhard"].distance < row["untouched"].distance
