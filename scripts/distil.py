"""Train small generators to do what large ones do, so that they can be shipped (distillation).

    python scripts/distil.py RUN --ngf 32 --minutes 5 --out SMALL
    python scripts/ship_weights.py SMALL

The generators of RUN are the teachers. A student sees a crop and is to return what its teacher
returns: it learns from pairs. That difference alone would make it soft, as every mean of guesses
is; so discriminators judge the students too, as in RUN itself. Each student also learns on what
the other teacher makes of the other domain, which is what it is given on the way back. (The idea:
Hinton et al. 2015; for CycleGAN: Li et al., "GAN Compression", CVPR 2020, section 3.1.)
"""

import argparse
import json
import shutil
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from cyclegan_course import environment
from cyclegan_course.batches import batches_for
from cyclegan_course.cyclegan import CycleGAN, Objective, Translations, frozen, training_step
from cyclegan_course.datasets import ImagePool, open_source
from cyclegan_course.losses import generator_loss
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.training import Config, learning_rate_factor, load_config, run_progress
from cyclegan_course.translate import load_generator, save_generator

LAMBDA_TEACHER = 10.0  # as the weight of cycle consistency, whose place it takes
SHOWN_EVERY = 50  # steps


def generator_losses(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective, teachers: CycleGAN
) -> tuple[dict[str, Tensor], Translations]:
    """The students' side, in the place of `cyclegan.generator_losses`.

    For each direction the adversarial loss, and `LAMBDA_TEACHER` times the mean difference to the
    teacher, on real pictures and on the other teacher's fakes.
    """
    with torch.no_grad():
        wanted_B, wanted_A = teachers.G_AB(real_A), teachers.G_BA(real_B)
        back_A, back_B = teachers.G_BA(wanted_B), teachers.G_AB(wanted_A)
    fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    rec_A, rec_B = model.G_BA(wanted_B), model.G_AB(wanted_A)
    with frozen(model.discriminator_parameters()):
        terms = {
            "G_AB": generator_loss(model.D_B(fake_B), objective.adversarial),
            "G_BA": generator_loss(model.D_A(fake_A), objective.adversarial),
        }
    terms["teacher_AB"] = F.l1_loss(fake_B, wanted_B) + F.l1_loss(rec_B, back_B)
    terms["teacher_BA"] = F.l1_loss(fake_A, wanted_A) + F.l1_loss(rec_A, back_A)
    for name in ("teacher_AB", "teacher_BA"):
        terms[name] = LAMBDA_TEACHER * terms[name]
    return terms, Translations(fake_B, rec_A, fake_A, rec_B)


def distil(
    teachers: CycleGAN, shape: dict, config: Config, device: torch.device
) -> tuple[CycleGAN, dict]:
    """Students for both teachers, trained on the pictures of a run.

    Args:
        teachers: its generators are; the discriminators are not used.
        shape: keywords of the students' `ResnetGenerator`.
        config: the data, discriminators, objective, rate, and the length in minutes or steps.

    Returns:
        The students with their discriminators; steps, minutes and the last losses.
    """
    source = open_source(config.data, config.loaded_size)
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    teachers.to(device, memory_format=layout)
    model = CycleGAN(
        partial(ResnetGenerator, **shape),
        partial(PatchDiscriminator, ndf=config.ndf, n_layers=config.n_layers),
        seed=config.seed,
    ).to(device, memory_format=layout)
    optimizers = [
        torch.optim.Adam(parameters, lr=config.lr, betas=(0.5, 0.999), fused=True)
        for parameters in (model.generator_parameters(), model.discriminator_parameters())
    ]
    pools = ImagePool(config.pool_size, 1), ImagePool(config.pool_size, 2)
    objective = Objective(adversarial=config.adversarial)
    side = partial(generator_losses, teachers=teachers)
    bf16 = environment.has_fast_bfloat16(device)
    step, seconds, losses = 0, 0.0, {}
    batches = batches_for(
        source, config.size, config.batch, config.seed, device, steps=config.steps
    )
    with closing(batches), tqdm(total=100, disable=None) as bar:
        began = time.perf_counter()
        while (done := run_progress(config, step, seconds)) < 1:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = config.lr * learning_rate_factor(done)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                terms = training_step(model, *batches(step), *optimizers, *pools, objective, side)
            step += 1
            seconds = time.perf_counter() - began
            if step % SHOWN_EVERY == 0 or run_progress(config, step, seconds) >= 1:
                losses = {name: round(float(term), 3) for name, term in terms.items()}
                bar.n = round(100 * done)
                bar.set_postfix(losses)
    return model, {"steps": step, "minutes": round(seconds / 60, 1), "losses": losses}


def load_teachers(run: Path) -> tuple[CycleGAN, dict, str]:
    """The generators of a run, without discriminators; their card and name."""
    generators = {}
    for way in ("AB", "BA"):
        net, card, name = load_generator(run, way)
        generators[way] = net.eval().requires_grad_(False)
    teachers = CycleGAN.__new__(CycleGAN)  # its own networks would be drawn for nothing
    torch.nn.Module.__init__(teachers)
    teachers.G_AB, teachers.G_BA = generators["AB"], generators["BA"]
    return teachers, card, name


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("run", type=Path, metavar="RUN")
    found.add_argument("--ngf", type=int, default=32, help="width of the students")
    found.add_argument("--blocks", type=int, help="residual blocks; default: the teachers'")
    found.add_argument("--minutes", type=float, default=5.0)
    found.add_argument("--batch", type=int, default=1)
    found.add_argument("--lr", type=float, default=5e-4)
    found.add_argument("--device", default=environment.best_device().type)
    found.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    return found


def main() -> None:
    options = parser().parse_args()
    environment.prepare_threads()
    teachers, card, name = load_teachers(options.run)
    shape = card["generator"] | {"ngf": options.ngf}
    shape |= {"n_blocks": options.blocks} if options.blocks else {}
    length = {"minutes": options.minutes, "steps": None}
    config = replace(load_config(options.run), **length, batch=options.batch, lr=options.lr)
    students, facts = distil(teachers, shape, config, torch.device(options.device))
    facts |= {
        "command": f"python scripts/distil.py RUN --ngf {shape['ngf']} --blocks "
        f"{shape['n_blocks']} --minutes {options.minutes:g} --batch {options.batch} "
        f"--lr {options.lr:g}",
        "teachers": card["generator"],
        "machine": environment.machine(),
    }
    card |= {"generator": shape, "distilled": facts}
    save_generator(options.out / "generator", name, students.G_AB, students.G_BA, card)
    # From here `ship_weights.py` knows the teachers' training.
    shutil.copy(options.run / "config.json", options.out)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
