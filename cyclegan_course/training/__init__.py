"""The trainer. `train(config, folder)` does it all; each module here has one part of it.

`config`: settings. `state`: what moves. `loop`: the run. `fast_step`, `levers`, `deterministic`:
one step, and how it is computed. `checkpoints`, `run_folder`: what is written. `samples`: held-out
pictures. `watching`: who is shown what. `interruption`, `trouble`: stopping. `distributed`,
`launcher`: several processes.
"""

from cyclegan_course.training.config import (
    PRESETS,
    Config,
    learning_rate_factor,
    preset,
    run_progress,
)
from cyclegan_course.training.fast_step import FastStep
from cyclegan_course.training.launcher import launch
from cyclegan_course.training.loop import Run, train
from cyclegan_course.training.run_folder import load_config
from cyclegan_course.training.state import State, build_state

__all__ = [
    "PRESETS",
    "Config",
    "FastStep",
    "Run",
    "State",
    "build_state",
    "launch",
    "learning_rate_factor",
    "load_config",
    "preset",
    "run_progress",
    "train",
]
