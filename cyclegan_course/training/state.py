"""Everything that moves during a run; a checkpoint is this on disk."""

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cyclegan_course.cut import CUT
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import TensorPool
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator, dead_biases
from cyclegan_course.training.config import Config


@dataclass
class State:
    """What a run is made of at one moment.

    There is no random state and no sampler position in it: pictures, crops and the pools' draws of
    step t are functions of the seed and t alone.

    Attributes:
        model: its generators are called G_AB and G_BA; CUT has G_AB alone.
        optimizer_G: of the generators, and of the heads of CUT.
        pool_A, pool_B: histories of fakes; that of A stays empty with CUT.
        average: moving average of the generators, where one is kept.
        step, seconds: steps made, and the time they took.
        record: losses at some moments, one dictionary each: step, seconds, every term by name.
        measures: measures of held-out pictures at some moments: step, seconds, values by name.
    """

    model: CycleGAN | CUT
    optimizer_G: torch.optim.Adam
    optimizer_D: torch.optim.Adam
    pool_A: TensorPool
    pool_B: TensorPool
    average: AveragedModel | None = None
    step: int = 0
    seconds: float = 0.0
    record: list[dict[str, float]] = field(default_factory=list)
    measures: list[dict[str, float]] = field(default_factory=list)

    @property
    def generators(self) -> dict[str, nn.Module]:
        """By name, as they are sampled, measured and kept: averaged if an average is kept."""
        return dict(
            (_generators(self.model) if self.average is None else self.average.module).items()
        )

    def set_learning_rate(self, lr: float) -> None:
        """Give both optimizers this learning rate, without waiting for the device."""
        for group in self.optimizer_G.param_groups + self.optimizer_D.param_groups:
            if isinstance(group["lr"], Tensor):  # a recorded step reads it from the device
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def update_average(self) -> None:
        """Move the average, if one is kept, towards the generators of this step."""
        if self.average is not None:
            self.average.update_parameters(_generators(self.model))


def build_state(config: Config, device: torch.device) -> State:
    """Fresh networks, optimizers and pools for a configuration."""
    make_networks = (
        partial(ResnetGenerator, **config.generator_shape),
        partial(PatchDiscriminator, ndf=config.ndf, n_layers=config.n_layers),
    )
    if config.method == "cut":
        model = CUT(*make_networks, seed=config.seed, patches=config.patches).to(device)
    else:
        model = CycleGAN(*make_networks, seed=config.seed).to(device)
    # They stay at their start value: the readable step trains them too, which changes no picture.
    for bias in dead_biases(model):
        bias.requires_grad_(False)
    picture = (3, config.size, config.size)
    average = None
    if config.ema > 0:
        average = AveragedModel(_generators(model), multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    return State(
        model=model,
        optimizer_G=_adam(model.generator_parameters(), config.lr),
        optimizer_D=_adam(model.discriminator_parameters(), config.lr),
        pool_A=TensorPool(0 if config.method == "cut" else config.pool_size, picture, device),
        pool_B=TensorPool(config.pool_size, picture, device),
        average=average,
    )


def _adam(parameters: list[nn.Parameter], lr: float) -> torch.optim.Adam:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    device = trained[0].device
    on_gpu = device.type == "cuda"  # a recorded step reads its learning rate from the GPU
    return torch.optim.Adam(
        trained,
        lr=torch.tensor(lr, device=device) if on_gpu else lr,
        betas=(0.5, 0.999),
        fused=True,
        capturable=on_gpu,
    )


def _generators(model: CycleGAN | CUT) -> nn.ModuleDict:
    return nn.ModuleDict(
        {name: net for name, net in model.named_children() if name in ("G_AB", "G_BA")}
    )
