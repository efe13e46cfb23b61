"""The training step once more, made fast: the same gradients as `cyclegan.training_step`.

Read `cyclegan.training_step` first: it says what is computed. Here only the order changes, and
how the networks are computed (`levers`).
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from cyclegan_course import cyclegan, environment, losses, networks
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.datasets import TensorPool
from cyclegan_course.training.config import Config
from cyclegan_course.training.distributed import Workers
from cyclegan_course.training.levers import Levers, best_levers, without_compiler
from cyclegan_course.training.state import State

WARM_UP_STEPS = 3  # before a recording: cuDNN chooses its kernels and Adam makes its moments


class FastStep:
    """One call is one training step.

    Args:
        state: its networks, optimizers and pools are changed by each step.
        config: the objective, precision and compilation are taken from it.
        levers: what makes it fast; by default what is best for this run here.
        workers: the processes that share the batch: the pool is one for all, and gradients are
            averaged before the optimizers use them.

    Attributes:
        levers: those in use.
        notes: sentences on what was asked for and cannot be had here.
    """

    def __init__(
        self,
        state: State,
        config: Config,
        levers: Levers | None = None,
        workers: Workers = Workers(),  # noqa: B008
    ) -> None:
        self.state = state
        self.config = config
        self.workers = workers
        self.device = state.pool_A.pictures.device
        self.levers = best_levers(config, self.device) if levers is None else levers
        self.notes: list[str] = []
        self.objective = Objective(config.lambda_cycle, config.lambda_identity, config.adversarial)
        self.draw = torch.Generator(self.device)
        self.model = fast_twin(state.model, self.levers, config.deterministic)
        self.trained = [p for p in state.model.parameters() if p.requires_grad]
        self.losses_G = generator_side if self.levers.batched else textbook_generator_side
        self.losses_D = discriminator_side if self.levers.batched else cyclegan.discriminator_losses
        self.record = self.levers.cuda_graph and self.device.type == "cuda" and workers.size == 1
        self.recorded: _RecordedStep | None = None
        self.steps_here = 0
        _set_adam(state, self.levers)
        if self.levers.keep_memory:
            environment.keep_freed_memory()

    def __call__(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """Train on one batch; (N, 3, H, W) in [-1, 1] each, on the state's device.

        With several processes N is this one's share, equal for all. N never changes.

        Returns:
            Every loss term by name, detached, still on the device.
        """
        if self.levers.channels_last:
            real_A, real_B = (
                pictures.contiguous(memory_format=torch.channels_last)
                for pictures in (real_A, real_B)
            )
        with self._kernels():
            if self.steps_here == 0 and self.levers.compiled:
                self._compile(real_A, real_B)
            draws = self.pool_draws(len(real_A) * self.workers.size)
            if not self.record:
                terms = self._step(real_A, real_B, draws)
            elif self.steps_here < WARM_UP_STEPS:
                terms = _on_side_stream(self._step, real_A, real_B, draws)
            else:
                if self.recorded is None:
                    self._forget_gradients()
                    self.recorded = _RecordedStep(self._step, real_A, real_B, draws)
                terms = self.recorded(real_A, real_B, draws)
        self.steps_here += 1
        return terms

    def pool_draws(self, count: int) -> Tensor:
        """This step's random numbers for both pools, (2, count, 2), from seed and step alone."""
        seed = np.random.SeedSequence([self.config.seed, 2, self.state.step])
        self.draw.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        return torch.rand(2, count, 2, device=self.device, generator=self.draw)

    def _step(self, real_A: Tensor, real_B: Tensor, draws: Tensor) -> dict[str, Tensor]:
        state = self.state
        self._forget_gradients()
        with self._autocast():
            terms_G, fake_A, fake_B = self.losses_G(self.model, real_A, real_B, self.objective)
            if not self.levers.batched:
                sum(terms_G.values()).backward()
            shown_A = self._show(state.pool_A, fake_A, draws[0])
            shown_B = self._show(state.pool_B, fake_B, draws[1])
            terms_D = self.losses_D(self.model, real_A, real_B, shown_A, shown_B, self.objective)
        if self.levers.batched:
            sum((terms_G | terms_D).values()).backward()
        else:
            sum(terms_D.values()).backward()
        terms = {name: term.detach() for name, term in (terms_G | terms_D).items()}
        terms = self.workers.average_gradients(self.trained, terms)
        state.optimizer_G.step()
        state.optimizer_D.step()
        return terms

    def _show(self, pool: TensorPool, fakes: Tensor, draws: Tensor) -> Tensor:
        """This process's share of what the one pool answers to the fakes of all."""
        return pool(self.workers.gather(fakes), draws)[self.workers.share(len(draws))]

    def _forget_gradients(self) -> None:
        self.state.optimizer_G.zero_grad(set_to_none=True)
        self.state.optimizer_D.zero_grad(set_to_none=True)

    def _autocast(self) -> torch.autocast:
        use_bf16 = self.levers.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=use_bf16)

    @contextmanager
    def _kernels(self):
        """cuDNN's choices: the fastest of a trial at this fixed size, or the same each time."""
        with ExitStack() as stack:
            if self.device.type == "cuda":
                stack.enter_context(
                    torch.backends.cudnn.flags(
                        enabled=True,
                        benchmark=not self.config.deterministic,
                        deterministic=self.config.deterministic,
                        allow_tf32=self.levers.precision != "float32",
                    )
                )
            yield

    def _compile(self, real_A: Tensor, real_B: Tensor) -> None:
        """Compile the networks, if that works here: tried out on a batch, which trains nothing.

        Not the losses as one: torch compiles what two networks of a kind have in common once, so
        four graphs do instead of twelve networks' worth, in a third of the time.
        """
        for network in self.model.children():
            network.compile(fullgraph=True, dynamic=False)
        try:
            with self._autocast():
                terms_G, fake_A, fake_B = self.losses_G(self.model, real_A, real_B, self.objective)
                terms_D = self.losses_D(self.model, real_A, real_B, fake_A, fake_B, self.objective)
            sum((terms_G | terms_D).values()).backward()
        except Exception as error:  # whatever a missing or broken compiler raises
            self.levers = without_compiler(self.levers)
            self.model = fast_twin(self.state.model, self.levers, self.config.deterministic)
            _set_adam(self.state, self.levers)
            self.notes.append(
                f"torch.compile does not work here ({type(error).__name__}), so the training goes "
                "on without it: the same step, a little slower."
            )
        finally:
            self._forget_gradients()


class _RecordedStep:
    """A whole step as one CUDA graph: its kernels read and write the same memory at each replay.

    Recording runs nothing, so the first replay is the first step.
    """

    def __init__(self, step: Callable[..., dict[str, Tensor]], *inputs: Tensor) -> None:
        self.inputs = tuple(each.clone() for each in inputs)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            terms = step(*self.inputs)
            self.values = torch.stack([term.float() for term in terms.values()])
        self.names = tuple(terms)

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given, non_blocking=True)
        self.graph.replay()
        # A copy: the next replay writes into the same place.
        return dict(zip(self.names, self.values.clone().unbind(), strict=True))


def _on_side_stream(step: Callable[..., dict[str, Tensor]], *inputs: Tensor) -> dict[str, Tensor]:
    """A step before the recording, on a stream of its own as CUDA graphs ask for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        terms = step(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    return terms


def generator_side(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """`cyclegan.generator_losses` with 4 calls of generators where that has 6.

    Instance norm treats each picture alone, so pictures may share a call.

    Returns:
        The terms by name, then fake_A and fake_B, detached.
    """
    count = len(real_A)
    if objective.lambda_identity > 0:
        fake_B, idt_B = model.G_AB(torch.cat([real_A, real_B])).split(count)
        fake_A, idt_A = model.G_BA(torch.cat([real_B, real_A])).split(count)
    else:
        fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    terms = {
        "G_AB": losses.generator_loss(_as_judge(model.D_B)(fake_B), objective.adversarial),
        "G_BA": losses.generator_loss(_as_judge(model.D_A)(fake_A), objective.adversarial),
        "cycle_A": objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A),
        "cycle_B": objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B),
    }
    if objective.lambda_identity > 0:
        terms["idt_A"] = objective.lambda_identity * losses.identity_loss(idt_A, real_A)
        terms["idt_B"] = objective.lambda_identity * losses.identity_loss(idt_B, real_B)
    return terms, fake_A.detach(), fake_B.detach()


def discriminator_side(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    fake_A: Tensor,
    fake_B: Tensor,
    objective: Objective,
) -> dict[str, Tensor]:
    """`cyclegan.discriminator_losses` with real and fake pictures in one call."""
    terms = {}
    for name, D, real, fake in (
        ("D_A", model.D_A, real_A, fake_A),
        ("D_B", model.D_B, real_B, fake_B),
    ):
        score_real, score_fake = D(torch.cat([real, fake.to(real.dtype)])).split(len(real))
        terms[name] = 0.5 * losses.discriminator_loss(score_real, score_fake, objective.adversarial)
    return terms


def textbook_generator_side(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """`cyclegan.generator_losses` as it is, with what `generator_side` returns."""
    judged = SimpleNamespace(
        G_AB=model.G_AB, G_BA=model.G_BA, D_A=_as_judge(model.D_A), D_B=_as_judge(model.D_B)
    )
    terms, made = cyclegan.generator_losses(judged, real_A, real_B, objective)
    return terms, made.fake_A.detach(), made.fake_B.detach()


def _as_judge(D: nn.Module) -> Callable[[Tensor], Tensor]:
    """The discriminator with frozen parameters: gradients flow through it, not into it."""
    fixed = {name: parameter.detach() for name, parameter in D.named_parameters()}
    return lambda pictures: functional_call(D, fixed, (pictures,))


def fast_twin(model: CycleGAN, levers: Levers, deterministic: bool) -> CycleGAN:
    """The same networks with the same parameters, their layers computed in other ways.

    The parameters are shared, so that training one trains both; `model` computes as before.
    """
    layout = torch.channels_last if levers.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    shared = {id(parameter): parameter for parameter in model.parameters()}
    twin = copy.deepcopy(model, shared)
    for chain in [module for module in twin.modules() if isinstance(module, nn.Sequential)]:
        for index, layer in enumerate(chain):
            if levers.layout_norm and isinstance(layer, nn.InstanceNorm2d) and not layer.affine:
                chain[index] = networks.LayoutInstanceNorm(layer.num_features, layer.eps)
            elif levers.library_pad and isinstance(layer, nn.ReflectionPad2d):
                chain[index] = networks.LibraryPad2d(layer.padding[0])
            elif deterministic and isinstance(layer, nn.ReflectionPad2d):
                chain[index] = networks.MirrorPad2d(layer.padding[0])
    if levers.fold_edge:
        for net in (twin.G_AB, twin.G_BA):
            _fold_last_convolution(net)
    return twin


def _fold_last_convolution(generator: networks.ResnetGenerator) -> None:
    wide = generator.layers[-2]
    folded = networks.FoldedConv2d(
        wide.in_channels, wide.out_channels, wide.kernel_size, device="meta"
    )
    folded.weight, folded.bias = wide.weight, wide.bias
    generator.layers[-2] = folded


def _set_adam(state: State, levers: Levers) -> None:
    """Choose Adam's form, and lay its moments out in memory as their parameters are."""
    for optimizer in (state.optimizer_G, state.optimizer_D):
        for group in optimizer.param_groups:
            group["fused"] = levers.fused_adam
        for parameter, entries in optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                if name in entries:
                    entries[name] = torch.empty_like(parameter).copy_(entries[name])
