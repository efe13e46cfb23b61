"""Trained generators, in pairs or alone: what a shipped name or the folder of a run stands for."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cyclegan_course.folders import data_name
from cyclegan_course.training import Config, load_config
from cyclegan_course.translate.translator import Translator, load_translator
from cyclegan_course.translate.weights import available_names, find_generator

METHODS = {"cyclegan": "CycleGAN", "cut": "CUT"}  # as `Config.method` has them, and as tables do


@dataclass(frozen=True)
class Contender:
    """One pair of trained generators, or one generator.

    Attributes:
        name: the shipped name, or the folder of the run as it was given.
        kind: "CycleGAN" or "CUT", or "last" or "best" of a run.
        G_AB, G_BA: its translators; G_BA is None for CUT, which has no way back.
        config: the settings of its run, None for a pair that lies in no run's folder.
        sums: sha256 of the weights, by "AB" and "BA".
    """

    name: str
    kind: str
    G_AB: Translator
    G_BA: Translator | None
    config: Config | None
    sums: dict[str, str]

    @property
    def data(self) -> str | tuple[str, str]:
        """What it was trained on: a world, or what `open_source` takes."""
        if self.config is not None:
            return self.config.data
        return self.G_AB.card.get("trained", {}).get("config", {}).get("data", self.G_AB.name)

    @property
    def step(self) -> int | None:
        """The steps of training behind it, if its card says so."""
        return self.G_AB.card.get("trained", {}).get("steps")

    def origin(self) -> dict:
        """Where it comes from, for a protocol: the settings of its run and the weights' sums."""
        settings = self.G_AB.card.get("trained", {}).get("config")
        if self.config is not None:  # a folder's path means nothing to anyone else
            settings = asdict(replace(self.config, data=data_name(self.config.data)))
        return {
            "name": self.G_AB.name,
            "step": self.step,
            "config": settings,
            "sha256": self.sums,
        }


def contenders(name: str) -> list[Contender]:
    """What a name stands for: a shipped pair, or the last and the best generators of a run.

    A run that goes on has no last one, and a short run may have no best one.

    Raises:
        CourseError: if there is neither, or a file is damaged.
    """
    folder = Path(name).expanduser()
    if name in available_names() or not folder.is_dir():
        return [load_contender(name, None, name)]
    if not (folder / "config.json").exists():
        run = folder.resolve().parent  # for RUN/best
        inside = folder.resolve().name == "best" and (run / "config.json").exists()
        config = load_config(run) if inside else None
        return [load_contender(name, "best" if inside else None, folder, config)]
    config = load_config(folder)
    places = {"last": folder, "best": folder / "best"}
    found = [
        load_contender(name, kind, place, config)
        for kind, place in places.items()
        if available_names(place / "generator")
    ]
    # Nothing there: load_contender says so in one sentence.
    return found or [load_contender(name, "last", folder, config)]


def load_contender(
    name: str, kind: str | None, place: str | Path, config: Config | None = None
) -> Contender:
    """The generators in a place that `load_translator` knows.

    Args:
        kind: as in `Contender`; None for the method that the card names.
    """
    G_AB = load_translator(place)
    method = G_AB.card.get("trained", {}).get("config", {}).get("method", "cyclegan")
    directions = ("AB",) if method == "cut" else ("AB", "BA")
    G_BA = load_translator(place, "BA") if "BA" in directions else None
    folder, stem = find_generator(place)
    sums = {
        direction: hashlib.sha256(
            (folder / f"{stem}_{direction}.safetensors").read_bytes()
        ).hexdigest()
        for direction in directions
    }
    return Contender(name, kind or METHODS[method], G_AB, G_BA, config, sums)


def by_label(team: Sequence[Contender]) -> dict[str, Contender]:
    """What stands in a table for each: its kind, and whose it is if there are several names."""
    names = list(dict.fromkeys(one.name for one in team))
    if len(names) == 1:
        return {one.kind: one for one in team}
    short = {name: Path(name).name or name for name in names}
    if len(set(short.values())) < len(names):
        short = {name: name for name in names}
    return {
        short[one.name] + ("" if one.kind in METHODS.values() else f", {one.kind}"): one
        for one in team
    }


def by_settings(team: dict[str, Contender]) -> list[list[str]]:
    """Labels of those that differ in nothing but the seed: a list for each such group of runs."""
    alike: dict[tuple, list[str]] = {}
    for label, one in team.items():
        if one.config is not None:
            key = one.kind, replace(one.config, seed=0, name="", data=str(one.config.data))
            alike.setdefault(key, []).append(label)
    return [
        labels
        for labels in alike.values()
        if len({team[label].config.seed for label in labels}) == len(labels) > 1
    ]
