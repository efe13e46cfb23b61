"""Small generators that learn from large ones: their losses, their cards, what is shipped."""

import json
from functools import partial

import distil
import pytest
import ship_weights
import torch
from training_toys import CPU, TINY, run_it

from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.training import Config
from cyclegan_course.translate import load_translator

SHAPE = {"ngf": 2, "n_blocks": 1, "n_down": 1, "edge_kernel": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    run_it(Config(**TINY | {"data": "editing", "steps": 4}), folder)
    return folder


def model(seed: int) -> CycleGAN:
    return CycleGAN(
        partial(ResnetGenerator, **SHAPE), partial(PatchDiscriminator, ndf=2, n_layers=1), seed
    )


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    real_A, real_B = torch.rand(2, 2, 3, 24, 24, generator=generator) * 2 - 1
    return real_A, real_B


class TestLosses:
    def test_by_their_formulas(self):
        students, teachers = model(1), model(2)
        real_A, real_B = pictures()
        terms, found = distil.generator_losses(students, real_A, real_B, Objective(), teachers)
        S, T = students, teachers
        expected_AB = (S.G_AB(real_A) - T.G_AB(real_A)).abs().mean()
        expected_AB += (S.G_AB(T.G_BA(real_B)) - T.G_AB(T.G_BA(real_B))).abs().mean()
        torch.testing.assert_close(terms["teacher_AB"], distil.LAMBDA_TEACHER * expected_AB)
        expected_BA = (S.G_BA(real_B) - T.G_BA(real_B)).abs().mean()
        expected_BA += (S.G_BA(T.G_AB(real_A)) - T.G_BA(T.G_AB(real_A))).abs().mean()
        torch.testing.assert_close(terms["teacher_BA"], distil.LAMBDA_TEACHER * expected_BA)
        adversarial = (S.D_B(S.G_AB(real_A)) - 1).square().mean()
        torch.testing.assert_close(terms["G_AB"], adversarial)
        assert torch.equal(found.fake_B, S.G_AB(real_A))

    def test_who_does_what_the_teacher_does_has_nothing_to_learn_from_it(self):
        same = model(3)
        terms, _ = distil.generator_losses(same, *pictures(), Objective(), same)
        assert terms["teacher_AB"].item() == terms["teacher_BA"].item() == 0

    def test_teachers_and_discriminators_get_no_gradient(self):
        students, teachers = model(1), model(2)
        terms, _ = distil.generator_losses(students, *pictures(), Objective(), teachers)
        sum(terms.values()).backward()
        assert all(p.grad is not None for p in students.generator_parameters())
        assert all(p.grad is None for p in students.discriminator_parameters())
        assert all(p.grad is None for p in teachers.parameters())


class TestTraining:
    def test_students_come_nearer_to_their_teachers(self, run):
        teachers, *_ = distil.load_teachers(run)
        config = Config(**TINY | {"data": "editing", "steps": 1, "lr": 2e-3})
        _, first = distil.distil(teachers, SHAPE, config, CPU)
        config = Config(**TINY | {"data": "editing", "steps": 80, "lr": 2e-3})
        _, last = distil.distil(teachers, SHAPE, config, CPU)
        for name in ("teacher_AB", "teacher_BA"):
            assert last["losses"][name] < 0.7 * first["losses"][name]

    def test_a_folder_that_can_be_shipped(self, run, tmp_path, monkeypatch):
        small = tmp_path / "small"
        arguments = [str(run), "--ngf", "3", "--minutes", "0.005", "--device", "cpu"]
        monkeypatch.setattr("sys.argv", ["distil.py", *arguments, "--out", str(small)])
        distil.main()
        translator = load_translator(small)
        assert translator.card["generator"]["ngf"] == 3
        assert translator.card["distilled"]["teachers"]["ngf"] == 2
        monkeypatch.setattr(ship_weights, "WEIGHTS", tmp_path / "weights")
        (tmp_path / "weights").mkdir()
        ship_weights.ship(small)
        card = json.loads((tmp_path / "weights" / "editing.json").read_text())
        assert card["trained"]["command"].startswith("cyclegan-course train --data editing")
        assert card["distilled"]["command"].startswith("python scripts/distil.py RUN --ngf 3")
        assert str(tmp_path) not in json.dumps(card)
