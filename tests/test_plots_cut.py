"""The figures of chapter 13 show what they are given: likenesses, shares, losses, differences."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.colors import to_hex

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.results import Results
from cyclegan_course.laboratory.scores import MEASURES
from cyclegan_course.losses import patch_nce_loss
from cyclegan_course.plots.cut import (
    beside_cyclegan,
    likeness_maps,
    likeness_table,
    own_rank,
    pictures_by_world,
    world_differences,
)
from cyclegan_course.plots.style import BLUE, GREY, ORANGE, figure_bytes


def features(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(1, count, 5, generator=generator), dim=-1)


def words(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_the_table_shows_likenesses_shares_and_the_loss_of_the_package():
    query, key = features(3, 0), features(3, 1)
    figure = likeness_table(query[0] @ key[0].T, 0.5)
    left, right, last = figure.axes
    assert words(left)[:3] == [f"{value:.2f}" for value in (query[0] @ key[0].T)[0].tolist()]
    shares = [float(word.removesuffix("%")) for word in words(right)]
    assert [sum(shares[3 * row : 3 * row + 3]) for row in range(3)] == pytest.approx(
        [100] * 3, abs=2
    )
    mean = patch_nce_loss(query, key, 0.5).item()
    assert last.get_xlabel().startswith(f"mean {mean:.2f}\n(log 3 = {math.log(3):.2f})")
    for axis in (left, right):  # a frame around each own place
        assert [patch.get_xy() for patch in axis.patches] == [(s - 0.5, s - 0.5) for s in range(3)]


def test_rank_counts_the_places_that_are_liker_than_the_own():
    likeness = torch.tensor([[0.9, 0.1], [0.5, 0.7]])
    assert own_rank(likeness, (0.2, 0.2)) == 1
    assert own_rank(likeness, (0.9, 0.9)) == 2
    assert own_rank(likeness, (0.9, 0.2)) == 3
    assert own_rank(torch.ones(4, 4), (0.5, 0.5)) == 1  # as like as all: none is liker


def test_likeness_maps_ring_the_same_place_in_pictures_and_maps_of_any_size():
    maps = [torch.rand(8, 8), torch.rand(4, 4)]
    made = np.zeros((8, 8, 3), np.uint8)
    figure = likeness_maps(
        {"before": (made, maps), "after": (made, maps)}, made, (0.75, 0.25), ["1 px", "9 px"]
    )
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert len(panels) == 8
    for axis in panels:
        side = axis.images[0].get_array().shape[0]
        assert all(ring.center == (side // 4, 3 * side // 4) for ring in axis.patches)
        assert axis.patches
    assert panels[3].get_title().startswith("9 px\n")
    assert panels[3].get_title().endswith(f"rank {own_rank(maps[1], (0.75, 0.25))} of 16")
    assert panels[3].images[0].get_clim() == (0, 1)  # one scale: panels can be compared


def test_the_loss_of_features_that_say_nothing_is_marked():
    record = [{"step": s, "G_AB": 0.5, "D_B": 0.2, "nce_A": 5.0, "nce_B": 4.0} for s in (1, 2, 3)]
    figure = beside_cyclegan({"CycleGAN": record, "CUT": record}, patches=64)
    left, _, right = figure.axes
    assert [line.get_label() for line in right.lines if line.get_label()[0] != "_"] == [
        "nce_A",
        "nce_B",
        "log 64",
    ]
    assert right.lines[-1].get_ydata()[0] == pytest.approx(math.log(64))
    assert {"CycleGAN", "CUT"} <= {line.get_label() for line in left.lines}


def table(folder: Path, gains: dict[str, list[float]]) -> Results:
    """A stored table with one world; each run's PSNR and distance are the base's plus its gain."""
    with (folder / "cut.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream, ["world", "name", "seed", "direction", *MEASURES, "seconds"], restval=""
        )
        writer.writeheader()
        for name, values in {"CycleGAN": [0.0, 0.0, 0.0], **gains}.items():
            for seed, gain in enumerate(values, 1):
                scores = {"psnr": 20 + seed + gain, "distance": 0.1 * seed + gain}
                row = {"world": "night", "name": name, "seed": seed, "direction": "A to B"}
                writer.writerow(row | scores | {"seconds": 1})
    return Results("cut", folder)


def test_a_difference_is_filled_where_its_interval_holds_no_zero_and_hollow_elsewhere(tmp_path):
    results = table(tmp_path, {"CUT": [1.0, 1.1, 0.9], "FastCUT": [-1.0, 1.0, 0.1]})
    figure = world_differences(
        results, ["night"], ["CUT", "FastCUT"], "CycleGAN", ["psnr", "distance"]
    )
    psnr, distance = figure.axes
    marks = [[m for m in axis.lines if m.get_marker() in ("o", "s")] for axis in (psnr, distance)]
    (sure, unsure), (nearer, _) = marks
    assert sure.get_xdata()[0] == pytest.approx(1.0)
    assert to_hex(sure.get_markerfacecolor()).upper() == BLUE
    assert unsure.get_markerfacecolor() == "white"
    assert to_hex(unsure.get_color()).upper() == GREY
    # A larger distance is worse: another colour, and to the left.
    assert to_hex(nearer.get_markerfacecolor()).upper() == ORANGE
    assert distance.xaxis_inverted()
    assert not psnr.xaxis_inverted()


def test_a_run_without_finite_pictures_is_named_and_not_drawn(tmp_path):
    results = table(tmp_path, {"CUT": [math.nan, 1.0, 1.0]})
    (axis,) = world_differences(results, ["night"], ["CUT"], "CycleGAN", ["psnr"]).axes
    assert words(axis) == [" failed"]


def test_nothing_to_compare_is_one_clear_sentence(tmp_path):
    with pytest.raises(CourseError, match="at least one world"):
        world_differences(table(tmp_path, {}), [], ["CUT"], "CycleGAN", ["psnr"])


def test_pictures_stand_in_their_row_under_their_world():
    def of(value: int) -> np.ndarray:
        return np.full((8, 8, 3), value, np.uint8)

    rows = {
        "input": {"night": [of(1), of(2)], "editing": [of(3), of(4)]},
        "CUT": {"night": [of(5), of(6)], "editing": [of(7), of(8)]},
    }
    figure = pictures_by_world(rows)
    shown = [int(axis.images[0].get_array()[0, 0, 0]) for axis in figure.axes if axis.images]
    assert shown == [1, 2, 3, 4, 5, 6, 7, 8]
    titles = {axis.get_title(loc="left"): axis for axis in figure.axes}
    assert int(titles["editing"].images[0].get_array()[0, 0, 0]) == 3
    assert figure_bytes(figure, dpi=40)
