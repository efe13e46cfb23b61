"""The training step once more, made fast: the same gradients as `cyclegan.training_step`.

Read `cyclegan.training_step`, or `cut.training_step`, first: it says what is computed. Here only
the order changes (`sides`), and how the networks are computed (`levers`).
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course import environment, networks
from cyclegan_course.cut import CUT
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import TensorPool
from cyclegan_course.training.config import Config
from cyclegan_course.training.distributed import Workers
from cyclegan_course.training.levers import Levers, best_levers, without_compiler
from cyclegan_course.training.sides import sides_of
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
        if isinstance(state.model, CUT):  # a compiled network gives its output alone
            self.levers = without_compiler(self.levers)
        self.sides = sides_of(config, self.levers.batched)
        self.draw = torch.Generator(self.device)
        self.model = fast_twin(state.model, self.levers, config.deterministic)
        self.trained = [p for p in state.model.parameters() if p.requires_grad]
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
            positions = self.positions(*real_A.shape[-2:])
            if not self.record:
                terms = self._step(real_A, real_B, draws, *positions)
            elif self.steps_here < WARM_UP_STEPS:
                terms = _on_side_stream(self._step, real_A, real_B, draws, *positions)
            else:
                if self.recorded is None:
                    self._forget_gradients()
                    self.recorded = _RecordedStep(self._step, real_A, real_B, draws, *positions)
                terms = self.recorded(real_A, real_B, draws, *positions)
        self.steps_here += 1
        return terms

    def pool_draws(self, count: int) -> Tensor:
        """This step's random numbers for both pools, (2, count, 2), from seed and step alone."""
        self._seed_draws(2)
        return torch.rand(2, count, 2, device=self.device, generator=self.draw)

    def positions(self, height: int, width: int) -> list[Tensor]:
        """This step's places for CUT, from seed and step alone; none for CycleGAN."""
        if not isinstance(self.model, CUT):
            return []
        self._seed_draws(3)
        return self.model.draw_positions(height, width, self.draw)

    def _seed_draws(self, what: int) -> None:
        seed = np.random.SeedSequence([self.config.seed, what, self.state.step])
        self.draw.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))

    def _step(
        self, real_A: Tensor, real_B: Tensor, draws: Tensor, *positions: Tensor
    ) -> dict[str, Tensor]:
        state = self.state
        self._forget_gradients()
        with self._autocast():
            objective, generators, discriminators = self.sides
            terms_G, fakes = generators(self.model, real_A, real_B, objective, *positions)
            if not self.levers.batched:
                sum(terms_G.values()).backward()
            pools = {"A": (state.pool_A, draws[0]), "B": (state.pool_B, draws[1])}
            shown = {
                domain: self._show(pools[domain][0], fake, pools[domain][1])
                for domain, fake in fakes.items()
            }
            terms_D = discriminators(self.model, {"A": real_A, "B": real_B}, shown, objective)
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
        shown = pool(self.workers.gather(fakes), draws)[self.workers.share(len(draws))]
        if self.levers.channels_last:  # as the compiled discriminators know their inputs
            shown = shown.contiguous(memory_format=torch.channels_last)
        return shown

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
                objective, generators, discriminators = self.sides
                terms_G, fakes = generators(self.model, real_A, real_B, objective)
                terms_D = discriminators(self.model, {"A": real_A, "B": real_B}, fakes, objective)
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
        # Only this thread is watched: others may prepare batches meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
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


def fast_twin(model: CycleGAN | CUT, levers: Levers, deterministic: bool) -> CycleGAN | CUT:
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
        for net in twin.children():
            if isinstance(net, networks.ResnetGenerator):
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
