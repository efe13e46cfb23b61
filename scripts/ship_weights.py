"""Put trained generators into data/weights, measure them, and keep the table in data/README.md.

    python scripts/ship_weights.py RUN [RUN ...]        ship these runs, then measure everything
    python scripts/ship_weights.py                      measure what is there again
    python scripts/ship_weights.py RUN --measure night  measure these names only

A generator that was trained on a folder is measured with `--data NAME=FOLDER`; without it, its
rows of the last time stay.
"""

import argparse
import json
import re
import time
from dataclasses import replace
from pathlib import Path

from cyclegan_course import environment, worlds
from cyclegan_course.cli.train import command_for
from cyclegan_course.comparison import compare
from cyclegan_course.images import whole_file, write_text
from cyclegan_course.metrics.table import (
    format_by_metric,
    format_table,
    row_from_dict,
    row_to_dict,
)
from cyclegan_course.training import load_config
from cyclegan_course.translate import available_names

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "data" / "weights"
README = ROOT / "data" / "README.md"
# What a card cannot know by itself: the domains of a folder of pictures, its source and terms, and
# what happened to a run that its command does not say.
SHARED_MACHINE = "The machine did other work meanwhile, so alone it makes more steps in this time."
FACTS = {
    "monet": {
        "domain_A": "landscape photograph",
        "domain_B": "painting by Claude Monet",
        "data": "400 landscape photographs and 400 paintings by Claude Monet of monet2photo "
        "(Zhu et al. 2017), 256 px, with A and B swapped, from the copy in "
        "github.com/nikhil-barhate/photo2art, commit e21c8ed8. Test: 60 and 60 others of the same "
        "set. The set's authors took the paintings from WikiArt; Monet died in 1926 and they are "
        "in the public domain where the term is life plus 70 years. They took the photographs from "
        "Flickr (tag landscapephotography); the rights stay with their authors and the licence of "
        "each is unknown, so no picture of the set is shown or shipped here, only weights learned "
        "from them, for teaching and research.",
        "remark": SHARED_MACHINE,
    },
} | {name: {"remark": SHARED_MACHINE} for name in worlds.APPLICATIONS}
FACTS["monet_256"] = {key: fact for key, fact in FACTS["monet"].items() if key != "remark"}
# All numbers are in the cards; these fit on the page.
SHOWN = ("psnr", "ssim", "blurred_psnr", "correspondence", "reconstruction", "distance", "kid")
BEGIN, END = "<!-- begin results -->", "<!-- end results -->"


def ship(run: Path) -> None:
    """Copy a run's generators and complete their card with the command that trained them."""
    cards = list((run / "generator").glob("*.json"))
    if len(cards) != 1:
        raise SystemExit(f"{run} holds no finished generator; is its training over?")
    card_file = cards[0]
    card = json.loads(card_file.read_text(encoding="utf-8"))
    config = replace(load_config(run), data=card["trained"]["config"]["data"])
    card["trained"]["command"] = command_for(config)
    card |= FACTS.get(card["name"], {})
    write_text(json.dumps(card, indent=2) + "\n", WEIGHTS / card_file.name)
    for direction in ("AB", "BA"):
        name = f"{card['name']}_{direction}.safetensors"
        with whole_file(WEIGHTS / name) as temporary:
            temporary.write_bytes((run / "generator" / name).read_bytes())


def measure(name: str, data: str | None, count: int, size: int) -> None:
    """Measure one pair of generators and keep the rows and their protocol in its card."""
    began = time.perf_counter()
    found = compare([name], data, count, size)
    protocol = {key: found.protocol[key] for key in ("data", "resize", "features", "intervals")}
    card_file = WEIGHTS / f"{name}.json"
    card = json.loads(card_file.read_text(encoding="utf-8"))
    card["result"] = {
        "command": f"cyclegan-course evaluate {name} --count {count} --size {size}"
        + (f" --data {Path(data).name}" if data else ""),
        "machine": environment.machine(),
        "seconds": round(time.perf_counter() - began),
        "protocol": protocol,
        "rows": [row_to_dict(row) for row in found.rows],
    }
    write_text(json.dumps(card, indent=2) + "\n", card_file)
    print(format_by_metric(found.rows), flush=True)


def update_readme() -> None:
    """Write the table of all cards between the markers of data/README.md."""
    cards = [
        json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ordered_names()
    ]
    rows = [row_from_dict(row) for card in cards for row in card["result"]["rows"]]
    trained = ["| name | trained with | steps | minutes | machine |", "|---|---|---:|---:|---|"]
    for card in cards:
        facts = card["trained"]
        # Of small generators that were taught by large ones: how the large ones were trained.
        then = f", then `{card['distilled']['command']}`" if "distilled" in card else ""
        trained.append(
            f"| {card['name']} | `{facts['command']}`{then} | {facts['steps']:,} "
            f"| {facts['minutes']} | {facts['machine']}, {facts['threads']} thread(s), torch "
            f"{facts['versions']['torch']}, {facts['date']} |"
        )
    notes = [
        f"- **{card['name']}**: {' '.join(card[key] for key in ('data', 'remark') if key in card)}"
        for card in cards
    ]
    measured = ", ".join(f"`{card['result']['command']}`" for card in cards)
    sections = [
        BEGIN,
        format_table(rows, SHOWN, intervals=True),
        f"Measured with {measured}.",
        "### How each pair was trained",
        "\n".join(trained),
        "\n".join(notes),
        END,
    ]
    block = "\n\n".join(section.strip() for section in sections)
    text = README.read_text(encoding="utf-8")
    new, found = re.subn(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL)
    if found != 1:
        raise SystemExit(f"{README} needs one pair of the markers {BEGIN} and {END}")
    write_text(new, README)


def ordered_names() -> list[str]:
    """Shipped names, the worlds in their own order first."""
    names = available_names(WEIGHTS)
    return [
        *(w for w in worlds.WORLDS if w in names),
        *(n for n in names if n not in worlds.WORLDS),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--measure", nargs="+", default=ordered_names(), metavar="NAME")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    environment.prepare_threads()
    folders = dict(entry.split("=", 1) for entry in options.data)
    for run in options.runs:
        ship(run)
    for name in options.measure:
        card = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
        if card["trained"]["config"]["data"] in worlds.WORLDS or name in folders:
            measure(name, folders.get(name), options.count, options.size)
    update_readme()


if __name__ == "__main__":
    main()
