"""The picture worlds and the painter: same pictures everywhere, unpaired, paired when opened."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from cyclegan_course import painter, scenes, worlds
from cyclegan_course.errors import CourseError

ALL = [(world, domain) for world in worlds.WORLDS for domain in "AB"]
GREY = np.array([0.299, 0.587, 0.114])

SCENES = {
    0: "5552247e1a309a1d",
    1: "81f1334e530101e2",
    2: "090998aad3169e16",
    7: "d59e4c2505560835",
    1000000: "81634ca880fa40bf",
    1000001: "fcedfbc3eb446238",
}

# World, domain, size: mean of R, G, B and standard deviation of R, G, B of scene 7.
SUMMARIES = {
    ("painting", "A", 48): (146.18, 161.46, 140.59, 57.43, 44.52, 68.40),
    ("painting", "A", 128): (146.41, 161.73, 140.64, 58.56, 45.54, 69.24),
    ("painting", "B", 48): (152.11, 168.94, 128.92, 69.39, 50.37, 77.32),
    ("painting", "B", 128): (152.61, 169.87, 129.27, 70.58, 51.29, 78.70),
    ("night", "A", 48): (146.18, 161.46, 140.59, 57.43, 44.52, 68.40),
    ("night", "A", 128): (146.41, 161.73, 140.64, 58.56, 45.54, 69.24),
    ("night", "B", 48): (39.47, 50.72, 71.56, 30.88, 27.34, 27.79),
    ("night", "B", 128): (37.02, 48.39, 69.42, 29.95, 26.40, 25.88),
    ("restoration", "A", 48): (148.10, 160.25, 142.66, 52.27, 41.66, 60.31),
    ("restoration", "A", 128): (145.15, 157.80, 139.90, 53.27, 42.63, 61.52),
    ("restoration", "B", 48): (146.18, 161.46, 140.59, 57.43, 44.52, 68.40),
    ("restoration", "B", 128): (146.41, 161.73, 140.64, 58.56, 45.54, 69.24),
    ("superres", "A", 48): (146.46, 161.71, 140.83, 53.04, 39.68, 65.68),
    ("superres", "A", 128): (146.66, 161.97, 140.88, 55.82, 42.78, 67.47),
    ("superres", "B", 48): (146.18, 161.46, 140.59, 57.43, 44.52, 68.40),
    ("superres", "B", 128): (146.41, 161.73, 140.64, 58.56, 45.54, 69.24),
    ("editing", "A", 48): (149.07, 160.46, 137.76, 55.62, 46.81, 70.92),
    ("editing", "A", 128): (149.31, 160.76, 137.81, 56.67, 48.02, 71.93),
    ("editing", "B", 48): (142.46, 159.53, 143.17, 61.76, 46.81, 67.10),
    ("editing", "B", 128): (142.70, 159.82, 143.26, 63.06, 47.89, 67.93),
    ("grey", "A", 48): (148.98, 159.90, 139.60, 56.73, 47.42, 69.24),
    ("grey", "A", 128): (149.20, 160.17, 139.66, 57.85, 48.66, 70.14),
    ("grey", "B", 48): (154.33, 154.33, 154.33, 50.07, 50.07, 50.07),
    ("grey", "B", 128): (154.55, 154.55, 154.55, 51.01, 51.01, 51.01),
}


def digest(scene: scenes.Scene) -> str:
    def rounded(value):
        if isinstance(value, float):
            return round(value, 9)
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items()}
        return [rounded(v) for v in value] if isinstance(value, list | tuple) else value

    text = json.dumps(rounded(dataclasses.asdict(scene)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def summary(picture: np.ndarray) -> np.ndarray:
    flat = picture.reshape(-1, 3).astype(float)
    return np.concatenate([flat.mean(0), flat.std(0)])


def fingerprint() -> str:
    total = hashlib.sha256()
    for world, domain in ALL:
        total.update(worlds.render(world, 11, domain, 32).tobytes())
    return total.hexdigest()


def box(size: int, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle in unit coordinates, one pixel wider on each side."""

    def low(t: float) -> int:
        return max(0, int(np.floor(t * size)) - 1)

    return slice(low(y0), max(0, int(np.ceil(y1 * size)) + 1)), slice(
        low(x0), max(0, int(np.ceil(x1 * size)) + 1)
    )


# --- the same picture on every machine ---


@pytest.mark.parametrize("seed", SCENES)
def test_scene_parameters_are_pinned(seed):
    assert digest(scenes.make_scene(seed)) == SCENES[seed]


@pytest.mark.parametrize("key", SUMMARIES, ids=lambda k: "-".join(map(str, k)))
def test_pictures_are_pinned_within_half_a_grey_level(key):
    world, domain, size = key
    found = summary(worlds.render(world, 7, domain, size))
    np.testing.assert_allclose(found, SUMMARIES[key], atol=0.5)


@pytest.mark.parametrize(("world", "domain"), ALL)
@pytest.mark.parametrize("size", [16, 33, 64])
def test_shape_type_and_repeatability(world, domain, size):
    first = worlds.render(world, 5, domain, size)
    assert first.shape == (size, size, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, worlds.render(world, 5, domain, size))
    assert np.abs(first.astype(int) - worlds.render(world, 6, domain, size)).mean() > 2


def test_another_process_draws_the_same_pictures():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_worlds as t; "
        "print(t.fingerprint())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "123"},
    )
    assert done.stdout.strip() == fingerprint()


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(1)
    first = [worlds.render(w, 3, d, 24) for w, d in ALL]
    np.random.seed(2)
    before = np.random.get_state()[1].copy()
    second = [worlds.render(w, 3, d, 24) for w, d in ALL]
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("world", "domain"), ALL)
def test_a_scene_looks_the_same_at_every_size(world, domain):
    small = worlds.render(world, 9, domain, 64).astype(float)
    for size in (128, 256):
        large = worlds.render(world, 9, domain, size)
        shrunk = Image.fromarray(large).resize((64, 64), Image.Resampling.BOX)
        correlation = np.corrcoef(small.ravel(), np.asarray(shrunk, float).ravel())[0, 1]
        assert correlation > 0.9


def test_scenes_are_varied():
    drawn = [scenes.make_scene(seed) for seed in range(200)]
    assert {len(s.houses) for s in drawn} == {1, 2}
    assert {s.sky for s in drawn} == set(range(5))
    assert all(s.trees for s in drawn)
    assert 20 < sum(s.lake is not None for s in drawn) < 150
    trees = [t.conifer for s in drawn for t in s.trees]
    assert 0.4 < np.mean(trees) < 0.6
    assert len({digest(s) for s in drawn}) == 200


# --- unpaired training, sealed pairs ---


def seeds_used(monkeypatch, call) -> set[int]:
    used = []

    def spy(world, seed, domain, size):
        used.append(seed)
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr(worlds, "render", spy)
    call()
    monkeypatch.undo()
    return set(used)


def test_training_scenes_are_disjoint_and_apart_from_held_out_ones(monkeypatch):
    sets = {
        d: seeds_used(monkeypatch, lambda d=d: list(worlds.training_pictures("night", d, 500, 16)))
        for d in "AB"
    }
    held = seeds_used(monkeypatch, lambda: worlds.held_out("night", "A", 300, 16))
    later = seeds_used(monkeypatch, lambda: worlds.held_out("night", "A", 300, 16, start=300))
    opened = seeds_used(monkeypatch, lambda: worlds.open_sealed_pairs("night", 300, 16))
    assert sets["A"] == set(range(0, 1000, 2))
    assert sets["B"] == set(range(1, 1000, 2))
    assert len(held) == len(later) == 300
    assert not held & later
    assert opened == held
    # The largest training set that can be asked for still ends below the held-out scenes.
    most = worlds.training_pictures("night", "B", worlds.HELD_OUT_SEED // 2, 16)
    last = seeds_used(monkeypatch, lambda: most[-1])
    assert max(last) < min(held)
    with pytest.raises(CourseError, match="count"):
        worlds.training_pictures("night", "B", worlds.HELD_OUT_SEED // 2 + 1, 16)


def test_training_pictures_are_a_lazy_cached_sequence(monkeypatch):
    assert not seeds_used(monkeypatch, lambda: worlds.training_pictures("night", "A", 9, 24))
    pictures = worlds.training_pictures("editing", "B", 4, 24)
    assert len(pictures) == 4
    np.testing.assert_array_equal(pictures[2], worlds.render("editing", 5, "B", 24))
    assert pictures[2] is pictures[2]
    assert pictures[-2] is pictures[2]
    assert [p.shape for p in pictures[1:3]] == [(24, 24, 3)] * 2
    assert len(list(pictures)) == 4
    with pytest.raises(IndexError):
        pictures[4]
    with pytest.raises(ValueError, match="read-only"):
        pictures[0][0, 0, 0] = 1


def test_opened_pairs_are_the_held_out_pictures():
    A, B = worlds.open_sealed_pairs("night", 3, 24, start=2)
    assert A.shape == B.shape == (3, 24, 24, 3)
    assert A.dtype == B.dtype == np.uint8
    np.testing.assert_array_equal(A, worlds.held_out("night", "A", 5, 24)[2:])
    np.testing.assert_array_equal(B, worlds.held_out("night", "B", 5, 24)[2:])


# --- what each world changes, and what it keeps ---


def test_editing_changes_roofs_and_trees_and_nothing_else():
    size = 96
    for i in range(6):
        seed = worlds.HELD_OUT_SEED + i
        scene = scenes.make_scene(seed)
        A, B = (worlds.render("editing", seed, d, size).astype(int) for d in "AB")
        changed = np.abs(A - B).max(axis=2) > 0
        assert 0.01 < changed.mean() < 0.4
        may_change = np.zeros_like(changed)
        for h in scene.houses:
            top = h.y - (h.wall + h.roof + 0.2) * h.width
            roof = box(size, h.x - 0.07 * h.width, top, h.x + 1.07 * h.width, h.y)
            may_change[roof] = True
        far = scenes._hill_line(scene.hills[1], np.array([t.x for t in scene.far_trees]))
        feet = [t.y for t in scene.trees] + [
            y + 0.008 + t.y for y, t in zip(far, scene.far_trees, strict=True)
        ]
        for t, y in zip((*scene.trees, *scene.far_trees), feet, strict=True):
            half = 0.45 * t.height
            may_change[box(size, t.x - half, y - 1.05 * t.height, t.x + half, y)] = True
        if scene.lake is not None:  # mirrors the far trees
            x, y, w = scene.lake
            may_change[box(size, x - w / 2, y - 0.09, x + w / 2, y + 0.1)] = True
        assert may_change.mean() < 0.75
        assert not changed[~may_change].any()


def test_editing_roofs_are_red_then_blue():
    for seed in range(6):
        A, B = (worlds.render("editing", seed, d, 96).astype(int) for d in "AB")
        front = scenes.make_scene(seed).houses[-1]
        top = front.y - (front.wall + front.roof) * front.width
        roof = box(96, front.x, top, front.x + front.width, front.y - front.wall * front.width)
        red = [(p[roof][..., 0] - p[roof][..., 2] > 90).sum() for p in (A, B)]
        blue = [(p[roof][..., 2] - p[roof][..., 0] > 90).sum() for p in (A, B)]
        assert red[0] > 100 > 5 > red[1]
        assert blue[1] > 100 > 5 > blue[0]


def test_editing_trees_keep_their_place_and_change_their_shape():
    tree = scenes.Tree(0.5, 0.9, 0.6, True, 0.5, 12)
    widths = {}
    for edit in "AB":
        sheet = scenes._Sheet(128)
        scenes._draw_tree(sheet, tree, 1.0, np.zeros(3), 0.0, edit)
        cover = sheet.finish()[1][..., 0]
        rows, columns = np.nonzero(cover > 0.5)
        assert abs(rows.max() / 128 - 0.9) < 0.02
        assert abs((columns.min() + columns.max() + 1) / 256 - 0.5) < 0.03
        near_top = cover[int((0.9 - 0.6 * 0.8) * 128)]
        widths[edit] = near_top.sum()
    assert widths["A"] > 2 * widths["B"]


def test_night_is_dark_with_lit_windows_and_a_moon_in_place_of_the_sun():
    size, seen = 128, 0
    for seed in range(8):
        scene = scenes.make_scene(seed)
        day, night = (worlds.render("night", seed, d, size) @ GREY for d in "AB")
        assert night.mean() < 0.4 * day.mean()
        x, y, r = scene.sun
        rows, columns = (np.mgrid[:size, :size] + 0.5) / size
        away = np.hypot(columns - x, rows - y)
        assert night[away < 0.7 * r].mean() > 140
        assert night[(away > 4 * r) & (rows < 0.3)].mean() < 80
        house = scene.houses[-1]
        if any(t.y > house.y for t in scene.trees) or scene.fence:
            continue  # something may stand before the windows

        def at(u: float, v: float, house=house) -> tuple[int, int]:
            u = u if house.gable_left else 1 - u
            across, up = house.x + house.width * u, house.y - house.width * v
            return int(up * size), int(across * size)

        pane = at(0.5 + 0.15 * 0.22, house.wall * (0.36 + 0.46 * 0.22))
        wall = at(0.93, house.wall * 0.2)
        assert night[pane] > 200
        assert night[pane] > 2 * night[wall]
        assert day[pane] < day[wall]
        seen += 1
    assert seen >= 2


def test_day_and_night_show_the_same_scene():
    # Walls, path, lake and trees keep their outlines: gradients of both pictures go together.
    def edges(picture):
        grey = np.log(20 + picture @ GREY)[60:]
        return np.hypot(*np.gradient(grey)).ravel()

    day = [edges(worlds.render("night", s, "A", 128)) for s in range(4)]
    night = [edges(worlds.render("night", s, "B", 128)) for s in range(4)]
    table = np.corrcoef(day, night)[:4, 4:]
    assert (np.diag(table) > 0.5).all()
    assert (np.diag(table) > table.max(axis=1, where=~np.eye(4, dtype=bool), initial=0) + 0.2).all()


@pytest.mark.parametrize("world", ["restoration", "superres"])
def test_the_target_of_the_inverse_problems_is_the_clean_scene(world):
    for seed in (0, 1):
        np.testing.assert_array_equal(
            worlds.render(world, seed, "B", 64), scenes.draw_scene(scenes.make_scene(seed), 64)
        )


def test_restoration_damage_is_visible_and_leaves_the_scene_visible():
    for seed in range(4):
        A, B = (worlds.render("restoration", seed, d, 128).astype(float) for d in "AB")
        off = A - (0.86 * B + 16)  # the print has faded
        assert 9 < np.median(np.abs(off)) < 16  # noise: 0.67 of a deviation of 15 and roundings
        hit = np.abs(off).max(axis=2) > 75
        assert 0.005 < hit.mean() < 0.15  # scratches and dust
        assert np.corrcoef(A.ravel(), B.ravel())[0, 1] > 0.75


def test_low_resolution_has_lost_its_high_frequencies_only():
    size = 128
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    window = np.hanning(size)[:, None] * np.hanning(size)

    def power(picture):
        grey = picture @ GREY
        return np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2

    for seed in range(3):
        A, B = (worlds.render("superres", seed, d, size) for d in "AB")
        high = f > 1.5 / (2 * worlds.SUPERRES_FACTOR)
        assert power(A)[high].sum() < 0.08 * power(B)[high].sum()
        low = (f > 0) & (f < 0.03)
        assert power(A)[low].sum() == pytest.approx(power(B)[low].sum(), rel=0.1)
        blocks = [p.reshape(32, 4, 32, 4, 3).mean((1, 3)) for p in (A, B)]
        assert np.abs(blocks[0] - blocks[1]).mean() < 4


def test_painting_keeps_the_scene_and_strengthens_the_palette():
    for seed in range(3):
        A, B = (worlds.render("painting", seed, d, 128).astype(float) for d in "AB")
        np.testing.assert_array_equal(B, worlds.paint(A.astype(np.uint8), seed))
        soft = [gaussian_filter(p, (4, 4, 0)).ravel() for p in (A, B)]
        assert np.corrcoef(*soft)[0, 1] > 0.9
        chroma = [(p.max(2) - p.min(2)).mean() for p in (A, B)]
        assert chroma[1] > 1.15 * chroma[0]
        rough = [np.abs(p - gaussian_filter(p, (2, 2, 0))).mean() for p in (A, B)]
        assert rough[1] > 1.3 * rough[0]


# --- the painter ---


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (2, 2), (17, 9), (1, 40), (40, 1)])
def test_painter_takes_any_size(shape):
    rng = np.random.Generator(np.random.PCG64(0))
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = picture.copy()
    painting = worlds.paint(picture, seed=4)
    assert painting.shape == picture.shape
    assert painting.dtype == np.uint8
    np.testing.assert_array_equal(painting, worlds.paint(picture, seed=4))
    np.testing.assert_array_equal(picture, before)


def test_painter_accepts_read_only_and_strided_pictures():
    picture = worlds.render("night", 0, "A", 48)
    picture.flags.writeable = False
    expected = worlds.paint(np.ascontiguousarray(picture[:, ::-1]))
    np.testing.assert_array_equal(worlds.paint(picture[:, ::-1]), expected)


def test_painter_depends_on_its_seed():
    picture = worlds.render("painting", 0, "A", 64)
    assert (worlds.paint(picture, 0) != worlds.paint(picture, 1)).mean() > 0.5


def test_painter_goes_from_coarse_to_fine_with_many_strokes():
    picture = worlds.render("painting", 2, "A", 128)
    layers = painter.plan_layers(picture)
    radii = [layer.radius for layer in layers]
    assert len(layers) >= 3
    assert radii == sorted(radii, reverse=True)
    assert radii[0] == pytest.approx(128 / 18)
    assert radii[-1] >= 1
    strokes = np.concatenate([layer.points[:, 0] for layer in layers])
    assert len(np.unique(strokes, axis=0)) == len(strokes)
    assert 600 < len(strokes) < 12_000
    # The first layer leaves no hole: every spot lies within a cell and a half of a stroke.
    cells = np.zeros((9, 9), bool)
    points = layers[0].points.reshape(-1, 2)
    cells[(points[:, 1] * 9 / 128).astype(int), (points[:, 0] * 9 / 128).astype(int)] = True
    assert cells.all()
    # Later layers repaint where there is detail: fewer per brush area than a full cover.
    for layer in layers[1:]:
        assert len(layer.points) < 0.9 * (128 / (1.15 * layer.radius)) ** 2


@pytest.mark.parametrize("vertical", [True, False])
def test_strokes_follow_edges(vertical):
    picture = np.full((96, 96, 3), 40, np.uint8)
    picture[:, 48:] = 220
    if not vertical:
        picture = np.ascontiguousarray(picture.swapaxes(0, 1))
    layer = painter.plan_layers(picture)[1]
    across = 0 if vertical else 1
    near = np.abs(layer.points[:, 0, across] - 48) < 4
    assert near.sum() > 10
    way = np.abs(layer.points[near, 2] - layer.points[near, 0])
    assert way[:, 1 - across].mean() > 3 * way[:, across].mean()


@pytest.mark.parametrize("colour", [(200, 60, 30), (60, 160, 70), (70, 90, 200)])
def test_a_flat_picture_stays_near_its_hue(colour):
    painting = worlds.paint(np.full((64, 64, 3), colour, np.uint8)).astype(float)
    assert painting.std(axis=(0, 1)).max() < 16
    before, after = np.array(colour, float), painting.mean(axis=(0, 1))
    assert np.argsort(after).tolist() == np.argsort(before).tolist()

    def hue(c):
        return np.arctan2(np.sqrt(3) * (c[1] - c[2]), 2 * c[0] - c[1] - c[2])

    assert abs(hue(before) - hue(after)) < np.deg2rad(15)


def test_relief_can_be_switched_off():
    picture = np.full((64, 64, 3), 128, np.uint8)
    flat, lit = worlds.paint(picture, relief=0), worlds.paint(picture)
    assert flat.astype(float).std() < lit.astype(float).std()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), float),
        np.zeros((0, 4, 3), np.uint8),
        "picture.png",
    ],
)
def test_painter_names_a_wrong_input(wrong):
    with pytest.raises(CourseError, match="paint needs"):
        worlds.paint(wrong)


# --- photographs, texts, errors ---


def test_photographs():
    found = worlds.photographs()
    assert {name: array.shape for name, array in found.items()} == {
        "astronaut": (512, 512, 3),
        "chelsea": (300, 451, 3),
        "coffee": (400, 600, 3),
        "rocket": (427, 640, 3),
        "china": (427, 640, 3),
        "flower": (427, 640, 3),
    }
    for array in found.values():
        assert array.dtype == np.uint8
        assert array.std() > 20
    found["astronaut"][:] = 0
    assert worlds.photographs()["astronaut"].any()


def test_worlds_have_texts():
    assert list(worlds.WORLDS) == [
        *("painting", "night", "restoration", "superres", "editing"),
        "grey",
    ]
    for name, world in worlds.WORLDS.items():
        assert world.name == name
        for field in dataclasses.fields(world):
            assert 0 < len(getattr(world, field.name)) < 120
    with pytest.raises(dataclasses.FrozenInstanceError):
        worlds.WORLDS["night"].name = "day"


@pytest.mark.parametrize(
    "call",
    [
        lambda w, d, s: worlds.render(w, 0, d, s),
        lambda w, d, s: worlds.training_pictures(w, d, 2, s),
        lambda w, d, s: worlds.held_out(w, d, 1, s),
        lambda w, d, s: (
            worlds.open_sealed_pairs(w, 1, s) if d == "A" else worlds.render(w, 0, d, s)
        ),
    ],
)
def test_errors_say_what_to_choose(call):
    with pytest.raises(CourseError, match="painting, night, restoration, superres, editing, grey"):
        call("nigth", "A", 32)
    with pytest.raises(CourseError, match="A or B"):
        call("night", "C", 32)
    for size in (15, 0, -1, 32.0, "32"):
        with pytest.raises(CourseError, match="at least 16"):
            call("night", "A", size)


def test_counts_and_seeds_out_of_range():
    for call in (
        lambda: worlds.training_pictures("night", "A", 0, 32),
        lambda: worlds.held_out("night", "A", 0, 32),
        lambda: worlds.held_out("night", "A", 1, 32, start=-1),
        lambda: worlds.open_sealed_pairs("night", 0, 32),
        lambda: worlds.render("night", -1, "A", 32),
        lambda: worlds.paint(np.zeros((4, 4, 3), np.uint8), seed=-1),
    ):
        with pytest.raises(CourseError):
            call()
