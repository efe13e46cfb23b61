"""Figures: right content, right errors, alternative text."""

import base64
import csv
import io
from itertools import combinations

import matplotlib
import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from cyclegan_course import plots
from cyclegan_course.errors import CourseError
from cyclegan_course.plots import style

TERMS = ("G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B")


@pytest.fixture
def record():
    rng = np.random.default_rng(0)
    return [
        {"step": step, "seconds": step / 10} | {name: float(rng.random()) for name in TERMS}
        for step in range(1, 41)
    ]


def colour_of(figure, axis):
    """RGB in the middle of one of a figure's pictures."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())
    x, y = figure.axes[axis].transAxes.transform((0.5, 0.5))
    return tuple(int(value) for value in shown[shown.shape[0] - 1 - round(y), round(x), :3])


def test_arrays_pictures_and_tensors_look_the_same():
    array = np.full((8, 10, 3), (255, 0, 0), np.uint8)
    tensor = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(3, 8, 10)
    figure = plots.picture_row([array, Image.fromarray(array), tensor], titles=["a", "b", "c"])
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c"]
    assert [colour_of(figure, i) for i in range(3)] == [(255, 0, 0)] * 3


def test_grid_places_rows_columns_and_labels():
    def flat(value):
        return np.full((8, 8, 3), value, np.uint8)

    figure = plots.picture_grid(
        [[flat(0), flat(50), flat(100)], [flat(150), flat(200)]],
        titles=["one", "two", "three"],
        row_labels=["up", "down"],
    )
    assert [colour_of(figure, i)[0] for i in range(5)] == [0, 50, 100, 150, 200]
    assert colour_of(figure, 5) == (255, 255, 255)
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["up", "down"]


def test_wide_pictures_keep_their_shape():
    wide, tall = np.zeros((20, 60, 3), np.uint8), np.zeros((20, 10, 3), np.uint8)
    figure = plots.picture_row([wide, tall])
    FigureCanvasAgg(figure).draw()
    boxes = [axis.bbox for axis in figure.axes]
    assert [box.width / box.height for box in boxes] == pytest.approx([3.0, 0.5], rel=0.02)
    assert boxes[0].height == pytest.approx(boxes[1].height, rel=0.05)


@pytest.mark.parametrize(
    ("rows", "titles", "labels", "words"),
    [
        ([], [], [], "no picture"),
        ([[]], [], [], "no picture"),
        ([[np.zeros((4, 4, 3), np.uint8)]], ["a", "b"], [], "2 titles for 1"),
        ([[np.zeros((4, 4, 3), np.uint8)]], [], ["a", "b"], "2 labels for 1"),
    ],
)
def test_grid_that_does_not_fit_is_a_sentence(rows, titles, labels, words):
    with pytest.raises(CourseError, match=words):
        plots.picture_grid(rows, titles, labels)


def test_running_mean_is_the_weighted_mean_of_the_past():
    values = np.random.default_rng(1).random(20)
    for n, mean in enumerate(plots.running_mean(values, 0.8), 1):
        weights = 0.8 ** np.arange(n)[::-1]
        assert mean == pytest.approx(np.average(values[:n], weights=weights))
    assert plots.running_mean(values, 0.0) == pytest.approx(values)
    assert plots.running_mean(np.full(5, 3.0), 0.99) == pytest.approx(np.full(5, 3.0))


def test_loss_curves_show_every_term(record):
    figure = plots.loss_curves(record, smooth=0.5)
    drawn = {line.get_label(): line for axis in figure.axes for line in axis.get_lines()}
    assert set(TERMS) <= set(drawn)
    expected = plots.running_mean(np.array([row["cycle_A"] for row in record]), 0.5)
    assert drawn["cycle_A"].get_ydata() == pytest.approx(expected)
    assert list(drawn["cycle_A"].get_xdata()) == [row["step"] for row in record]


def test_loss_curves_of_a_file_are_those_of_the_record(record, tmp_path):
    file = tmp_path / "losses.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(record[0]))
        writer.writeheader()
        writer.writerows(record)
    of_file, of_record = (
        [line.get_ydata() for axis in figure.axes for line in axis.get_lines()]
        for figure in (plots.loss_curves(file), plots.loss_curves(record))
    )
    assert all(np.array_equal(a, b) for a, b in zip(of_file, of_record, strict=True))


def test_loss_curves_without_identity_terms(record):
    short = [{k: v for k, v in row.items() if not k.startswith("idt")} for row in record]
    labels = [line.get_label() for line in plots.loss_curves(short).axes[2].get_lines()]
    assert "cycle_A" in labels
    assert "idt_A" not in labels


def test_unusable_records_are_sentences(tmp_path):
    with pytest.raises(CourseError, match="empty"):
        plots.loss_curves([])
    with pytest.raises(CourseError, match="cannot be read"):
        plots.loss_curves(tmp_path / "missing.csv")
    (tmp_path / "bad.csv").write_text("step,G_AB\n1,words\n")
    with pytest.raises(CourseError, match="damaged"):
        plots.loss_curves(tmp_path / "bad.csv")
    with pytest.raises(CourseError, match="smooth"):
        plots.loss_curves([{"step": 1}], smooth=1.0)


def test_style_does_not_leak_out(record):
    before = dict(matplotlib.rcParams)
    plots.figure_bytes(plots.loss_curves(record))
    assert dict(matplotlib.rcParams) == before


def test_show_in_a_script_prints_the_text(capsys):
    plots.show(plots.picture_row([np.zeros((8, 8, 3), np.uint8)]), alt="a black square")
    assert capsys.readouterr().out == "a black square\n"


def test_show_in_a_notebook_carries_a_picture_and_its_text(shell, record):
    with capture_output() as captured:
        plots.show(plots.picture_row([np.zeros((8, 8, 3), np.uint8)]), alt="a black square")
        plots.show(plots.loss_curves(record), alt="curves")
    for output, kind, text in zip(
        captured.outputs, ("jpeg", "png"), ("a black square", "curves"), strict=True
    ):
        assert output.data["text/plain"] == text
        assert output.metadata[f"image/{kind}"]["alt"] == text
        picture = Image.open(io.BytesIO(base64.b64decode(output.data[f"image/{kind}"])))
        assert picture.format == kind.upper()


# Linear RGB as seen with one kind of cone missing: Machado, Oliveira and Fernandes (2009), "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.
MISSING_CONES = {
    "none": np.eye(3),
    "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritan": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
LINES = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)


def linear(colour):
    """Linear RGB of a colour, each from 0 to 1."""
    value = np.array(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("kind", MISSING_CONES)
def test_line_colours_are_told_apart_by_every_eye(kind):
    def seen(colour):
        light = np.clip(np.array(MISSING_CONES[kind]) @ linear(colour), 0, 1)
        return rgb2lab(
            np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        )

    distances = [deltaE_ciede2000(seen(a), seen(b)) for a, b in combinations(LINES, 2)]
    assert min(distances) > 10  # about 2 is just noticeable side by side


@pytest.mark.parametrize("colour", LINES)
def test_lines_stand_out_from_the_white_ground(colour):
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(colour)
    assert 1.05 / (luminance + 0.05) >= 3  # WCAG 2.1, criterion 1.4.11
