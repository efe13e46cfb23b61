"""Draw docs/pictures: worlds.png, five worlds with A above B; hero.png, what the course does.

Run from anywhere: python scripts/make_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cyclegan_course import worlds
from cyclegan_course.images import whole_file
from cyclegan_course.translate import load_translator

SCENES = (1060, 1084, 1024, 1021)
SIZE, GAP, MARGIN, LINE = 96, 2, 10, 20
HERO_SCENES = {"painting": 3, "night": 5, "restoration": 1, "editing": 3}
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"


def contact_sheet(scenes: tuple[int, ...] = SCENES, size: int = SIZE) -> Image.Image:
    """One block a world, two blocks side by side: its title, a row of A, and below it a row of B.

    Args:
        scenes: numbers of the scenes to show, the same in every world.
        size: side of one picture in pixels.

    Returns:
        An RGB picture on white.
    """
    width = len(scenes) * (size + GAP) - GAP
    height = LINE + 2 * (size + GAP) - GAP
    columns = 2
    rows = -(-len(worlds.APPLICATIONS) // columns)
    sheet = Image.new(
        "RGB",
        (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN),
        "white",
    )
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    for number, world in enumerate(worlds.WORLDS[name] for name in worlds.APPLICATIONS):
        left = MARGIN + (number % columns) * (width + MARGIN)
        top = MARGIN + (number // columns) * (height + MARGIN)
        pen.text((left, top), f"{world.name}: {world.title}", fill=(40, 40, 40), font=font)
        for row, domain in enumerate("AB"):
            for column, seed in enumerate(scenes):
                picture = Image.fromarray(worlds.render(world.name, seed, domain, size))
                x = left + column * (size + GAP)
                sheet.paste(picture, (x, top + LINE + row * (size + GAP)))
    return _with_photographs(sheet, rows, columns, width, height, size)


def _with_photographs(
    sheet: Image.Image, rows: int, columns: int, width: int, height: int, size: int
) -> Image.Image:
    """Fill the free last block: the same painter on real photographs."""
    if len(worlds.APPLICATIONS) % columns == 0:
        return sheet
    left = MARGIN + (columns - 1) * (width + MARGIN)
    top = MARGIN + (rows - 1) * (height + MARGIN)
    font = ImageFont.load_default(size=13)
    text = "the painter of painting B on real photographs"
    ImageDraw.Draw(sheet).text((left, top), text, fill=(40, 40, 40), font=font)
    photographs = worlds.photographs()
    for column, name in enumerate(("astronaut", "coffee", "china", "flower")):
        photograph = Image.fromarray(photographs[name])
        side = min(photograph.size)
        x0 = (photograph.width - side) // 2
        square = photograph.crop((x0, 0, x0 + side, side))
        square = square.resize((size, size), Image.Resampling.LANCZOS)
        painting = Image.fromarray(worlds.paint(np.asarray(square)))
        for row, picture in enumerate((square, painting)):
            sheet.paste(picture, (left + column * (size + GAP), top + LINE + row * (size + GAP)))
    return sheet


def hero(size: int = 192) -> Image.Image:
    """What the course does, at a glance: above the input, below what a shipped generator makes."""
    china = Image.fromarray(worlds.photographs()["china"])
    square = china.crop((120, 0, 120 + china.height, china.height))
    scenes = {
        world: Image.fromarray(worlds.held_out(world, "A", 1, 128, start=start)[0])
        for world, start in HERO_SCENES.items()
    }
    columns = [(square, "monet")] + [(picture, world) for world, picture in scenes.items()]
    cell = size + GAP
    sheet = Image.new("RGB", (len(columns) * cell - GAP, 2 * cell - GAP), "white")
    for column, (picture, name) in enumerate(columns):
        for row, shown in enumerate((picture, load_translator(name)(picture))):
            small = shown.resize((size, size), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * cell, row * cell))
    return sheet


def save(picture: Image.Image, path: Path) -> None:
    """Save as PNG with 64 levels a channel: it looks the same and the file is much smaller."""
    levels = picture.point(lambda value: min(255, (value + 2) & 0xFC) if value < 252 else 255)
    with whole_file(path) as temporary:
        levels.save(temporary, format="PNG", optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size // 1000} kB")


def main() -> None:
    save(contact_sheet(), FOLDER / "worlds.png")
    save(hero(), FOLDER / "hero.png")


if __name__ == "__main__":
    main()
