"""Everything that moves during a run; a checkpoint is this on disk."""

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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
        average: moving average of both generators ("G_AB", "G_BA"), where one is kept.
        step, seconds: steps made, and the time they took.
        record: losses at some moments, one dictionary each: step, seconds, every term by name.
        measures: measures of held-out pictures at some moments: step, seconds, values by name.
    """

    model: CycleGAN
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
        """G_AB and G_BA, as they are sampled, measured and kept: averaged if an average is kept."""
        if self.average is not None:
            return {name: self.average.module[name] for name in ("G_AB", "G_BA")}
        return {"G_AB": self.model.G_AB, "G_BA": self.model.G_BA}

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
            self.average.update_parameters(_pair(self.model))


def build_state(config: Config, device: torch.device) -> State:
    """Fresh networks, optimizers and pools for a configuration."""
    model = CycleGAN(
        partial(ResnetGenerator, **config.generator_shape),
        partial(PatchDiscriminator, ndf=config.ndf, n_layers=config.n_layers),
        seed=config.seed,
    ).to(device)
    # They stay at their start value: the readable step trains them too, which changes no picture.
    for bias in dead_biases(model):
        bias.requires_grad_(False)
    picture = (3, config.size, config.size)
    average = None
    if config.ema > 0:
        average = AveragedModel(_pair(model), multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    return State(
        model=model,
        optimizer_G=_adam(model.generator_parameters(), config.lr),
        optimizer_D=_adam(model.discriminator_parameters(), config.lr),
        pool_A=TensorPool(config.pool_size, picture, device),
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


def _pair(model: CycleGAN) -> nn.ModuleDict:
    return nn.ModuleDict({"G_AB": model.G_AB, "G_BA": model.G_BA})
