"""What makes a training step fast, and which of it pays on a device.

Every lever leaves the mathematics as it is: `fast_step.FastStep` with any of them computes the
gradients of `cyclegan.training_step`, up to the rounding of the precision.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from cyclegan_course import environment
from cyclegan_course.networks import ResnetGenerator
from cyclegan_course.training.config import Config

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Levers:
    """All off is the textbook step in float32.

    Args:
        batched: one graph and one backward for all four networks, with pictures sharing calls;
            off, the losses and the two backward passes of `cyclegan.training_step`.
        precision: of convolutions: "float32", "tf32" (CUDA: float32 with a 10-bit mantissa inside
            matrix products) or "bfloat16" (autocast).
        channels_last: pictures and weights in memory as (N, H, W, C).
        layout_norm: `networks.LayoutInstanceNorm`, which keeps channels_last.
        library_pad: `networks.LibraryPad2d`, which autocast and a compiler leave alone.
        fold_edge: the last convolution as `networks.FoldedConv2d`.
        fused_adam: all parameters in one kernel.
        compiled: the losses and their backward through `torch.compile`.
        cuda_graph: the whole step recorded once on the GPU, then replayed (alone, CUDA only).
        keep_memory: freed memory stays with the process (CPU with glibc only).
    """

    batched: bool = False
    precision: Precision = "float32"
    channels_last: bool = False
    layout_norm: bool = False
    library_pad: bool = False
    fold_edge: bool = False
    fused_adam: bool = False
    compiled: bool = False
    cuda_graph: bool = False
    keep_memory: bool = False


TEXTBOOK = Levers()


# Seconds of training from which compiling is worth its wait, by far. On two CPU cores it takes one
# minute (two on busy ones) and saves about a tenth of each step. On a GPU: to be measured.
LONG_RUN = {"cpu": 30 * 60.0, "cuda": 10 * 60.0}
# Operations per second that a step reaches, roughly: for telling short runs from long ones only.
TYPICAL_RATE = {"cpu": 0.3e12, "cuda": 150e12}


def best_levers(config: Config, device: torch.device) -> Levers:
    """The fastest step for this run on this device; depends on nothing else.

    So a resumed run chooses what it chose before, unless it was given another length.
    """
    bf16 = config.precision == "bfloat16" or (
        config.precision == "auto" and environment.has_fast_bfloat16(device)
    )
    is_long = expected_seconds(config, device) >= LONG_RUN.get(device.type, math.inf)
    compiled = config.compile == "on" or (config.compile == "auto" and is_long)
    on_gpu, on_cpu = device.type == "cuda", device.type == "cpu"
    return Levers(
        batched=True,
        precision="bfloat16" if bf16 else "float32",
        # On a CPU it pays for compiled layers only, where the norm is one pass over the numbers.
        channels_last=on_gpu or compiled,
        layout_norm=on_gpu or compiled,
        library_pad=on_cpu,
        fold_edge=on_cpu and bf16,
        fused_adam=True,
        compiled=compiled,
        cuda_graph=on_gpu,
        # What the process keeps, nothing else gets: fair for a long run, not for a lesson.
        keep_memory=on_cpu and compiled,
    )


def without_compiler(levers: Levers) -> Levers:
    """What is left where compiling fails; on a CPU channels_last paid only with it."""
    if levers.cuda_graph:
        return replace(levers, compiled=False)
    return replace(levers, compiled=False, channels_last=False, layout_norm=False)


def expected_seconds(config: Config, device: torch.device) -> float:
    """About how long the run will take: its minutes, or its steps at a typical rate."""
    limits = [] if config.minutes is None else [60 * config.minutes]
    if config.steps is not None:
        rate = TYPICAL_RATE.get(device.type, TYPICAL_RATE["cpu"])
        limits.append(config.steps * step_operations(config) / rate)
    return min(limits)


def step_operations(config: Config) -> float:
    """Floating-point operations of one step, roughly; counts without computing anything."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        picture = torch.empty(1, 3, config.size, config.size)
        ResnetGenerator(**config.generator_shape)(picture)
    # 6 calls of generators, or 4 without identity, forward and twice that backward; the
    # discriminators add about a twentieth. CUT: 2 calls, or 1, and as many of the first half.
    if config.method == "cut":
        calls = 1.5 * (2 if config.lambda_nce_identity > 0 else 1)
    else:
        calls = 6 if config.lambda_identity > 0 else 4
    return 1.05 * 3 * calls * config.batch * counter.get_total_flops()
