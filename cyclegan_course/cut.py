"""CUT: one generator and one discriminator, with patches in the place of the cycle.

The objective (Park, Efros, Zhang and Zhu, "Contrastive Learning for Unpaired Image-to-Image
Translation", ECCV 2020, equation 5):

    min over G_AB, H, max over D_B of
      L_GAN(G_AB, D_B, A, B)
      + lambda_nce * PatchNCE(G_AB, H, A) + lambda_nce_identity * PatchNCE(G_AB, H, B)

PatchNCE asks each patch of the translation to be more like the patch of the input at the same place
than like any other patch of that input. The features that it compares are those of the generator's
own first half, sent through a small network H for each layer. Its second term is the identity term:
a picture of B goes through G_AB and should stay what it is, seen patch by patch. The paper writes
G, D, H for G_AB, D_B, `heads`. Nothing translates back, so there is neither G_BA nor D_A.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course import losses
from cyclegan_course.cyclegan import frozen
from cyclegan_course.networks import (
    PatchDiscriminator,
    ResnetBlock,
    ResnetGenerator,
    init_weights,
)

PATCHES = 256  # places that are compared in each layer, as in the authors' code


@dataclass(frozen=True)
class ContrastiveObjective:
    """The weights of the terms; the defaults are the paper's CUT.

    Its FastCUT has 10 and 0, and turns half of the pictures left to right. The authors' own code
    halves the sum of both PatchNCE terms.
    """

    lambda_nce: float = 1.0
    lambda_nce_identity: float = 1.0
    adversarial: losses.Adversarial = "lsgan"
    temperature: float = 0.07


class PatchHeads(nn.Module):
    """H of the paper: for each layer two linear maps with a ReLU between them, then length 1.

    Args:
        widths: channels of each layer's features.
        out: numbers in a feature afterwards.
        generator: of the start weights, N(0, 0.02) with bias 0.
    """

    def __init__(
        self,
        widths: Sequence[int],
        out: int = 256,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, out), nn.ReLU(), nn.Linear(out, out)) for width in widths
        )
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            nn.init.normal_(linear.weight, 0.0, 0.02, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, maps: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Features of some places.

        Args:
            maps: (N, C, h, w) for each layer.
            positions: (S,) for each layer, which of the h * w places, the same for all N.

        Returns:
            (N, S, out) for each layer, in float32, each feature of length 1.
        """
        return [
            F.normalize(head(patches_at(each, places)).float(), dim=-1)
            for head, each, places in zip(self.heads, maps, positions, strict=True)
        ]


class CUT(nn.Module):
    """The three networks: G_AB: A -> B, D_B scores pictures of B, `heads` compare patches.

    Args:
        make_generator, make_discriminator: build one network.
        seed: of all start weights.
        patches: places in each layer at which patches are compared.
        features: numbers in a feature after H; by default 4 times the generator's width, which is
            the paper's 256 for its generator of width 64.

    Attributes:
        taps: the layers whose features are compared, see `tap_layers`.
    """

    def __init__(
        self,
        make_generator: Callable[[], ResnetGenerator] = ResnetGenerator,
        make_discriminator: Callable[[], nn.Module] = PatchDiscriminator,
        seed: int = 0,
        patches: int = PATCHES,
        features: int | None = None,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.G_AB = init_weights(make_generator(), generator=generator)
        self.D_B = init_weights(make_discriminator(), generator=generator)
        self.taps = tap_layers(self.G_AB)
        widths = [channels for channels, _, _ in tap_shapes(self.G_AB, self.taps, 64, 64)]
        first = next(m for m in self.G_AB.modules() if isinstance(m, nn.Conv2d))
        self.heads = PatchHeads(widths, features or 4 * first.out_channels, generator)
        self.patches = patches

    def generator_parameters(self) -> list[nn.Parameter]:
        return [*self.G_AB.parameters(), *self.heads.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        return list(self.D_B.parameters())

    def draw_positions(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> list[Tensor]:
        """For each layer, different random places in its map of a picture of this size.

        Returns:
            int64 tensors (S,), S = `patches` or as many places as there are, on the device of
            `generator`.
        """
        device = torch.device("cpu") if generator is None else generator.device
        return [
            torch.randperm(h * w, generator=generator, device=device)[: self.patches]
            for _, h, w in tap_shapes(self.G_AB, self.taps, height, width)
        ]


def tap_layers(generator: ResnetGenerator) -> tuple[int, ...]:
    """Where features are taken: after how many layers of `generator.layers`.

    As in the paper: the picture itself (0), each convolution that halves the map, the
    first residual block and the middle one (of 9 the fifth). So the patches that are compared have
    1 pixel, a few, and many.
    """
    halvings = [
        count
        for count, layer in enumerate(generator.layers, 1)
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)
    ]
    blocks = [
        count for count, layer in enumerate(generator.layers, 1) if isinstance(layer, ResnetBlock)
    ]
    # A generator of one or two blocks has its first in the middle.
    return tuple(dict.fromkeys([0, *halvings, *blocks[:1], *blocks[(len(blocks) - 1) // 2 :][:1]]))


def tap_shapes(
    generator: ResnetGenerator, taps: Sequence[int], height: int, width: int
) -> list[tuple[int, int, int]]:
    """Channels, height and width of the map at each tap, for a picture of this size."""
    shapes, channels = {}, 0
    for count, layer in enumerate(generator.layers):
        if isinstance(layer, nn.Conv2d):
            shapes.setdefault(0, (layer.in_channels, height, width))
            channels = layer.out_channels
            if layer.stride == (2, 2):
                height, width = -(-height // 2), -(-width // 2)
        shapes[count + 1] = (channels, height, width)
    return [shapes[count] for count in taps]


def encode(generator: ResnetGenerator, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
    """What `generator.layers` hold after so many layers: (N, C, h, w) for each of `taps`.

    The layers after the last tap are not computed. 0 is `x` itself.
    """
    kept = {0: x}
    for count, layer in enumerate(generator.layers[: max(taps)], 1):
        x = layer(x)
        if count in taps:
            kept[count] = x
    return [kept[count] for count in taps]


def translate_and_encode(
    generator: ResnetGenerator, x: Tensor, taps: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """`generator(x)` and `encode(generator, x, taps)` in one pass."""
    *features, translation = encode(generator, x, (*taps, len(generator.layers)))
    return translation, features


def patches_at(features: Tensor, positions: Tensor) -> Tensor:
    """(N, C, h, w) at places (S,) of the flattened map -> (N, S, C)."""
    return features.flatten(2).index_select(2, positions).transpose(1, 2)


def generator_losses(
    model: CUT,
    real_A: Tensor,
    real_B: Tensor,
    objective: ContrastiveObjective,
    positions: Sequence[Tensor],
) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's side of the objective, each term already weighted.

    Args:
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        positions: see `CUT.draw_positions`; one set for all pictures of the batch.

    Returns:
        The terms by name, and fake_B (N, 3, H, W).
    """
    identity = objective.lambda_nce_identity > 0
    # Instance norm treats each picture alone, so pictures of A and of B may share a pass.
    real = torch.cat([real_A, real_B]) if identity else real_A
    made, features = translate_and_encode(model.G_AB, real, model.taps)
    fake_B = made[: len(real_A)]
    # The patches of the input are what those of the translation are to be like, not the other way
    # round: no gradient goes into them (so in the authors' code; the paper does not say it).
    keys = [each.detach() for each in model.heads(features, positions)]
    queries = model.heads(encode(model.G_AB, made, model.taps), positions)

    def nce(pictures: slice) -> Tensor:
        # The mean over the layers, as in the authors' code; equation 3 has their sum.
        layers = [
            losses.patch_nce_loss(q[pictures], k[pictures], objective.temperature)
            for q, k in zip(queries, keys, strict=True)
        ]
        return torch.stack(layers).mean()

    count = len(real_A)
    terms = {
        "G_AB": losses.generator_loss(model.D_B(fake_B), objective.adversarial),
        "nce_A": objective.lambda_nce * nce(slice(count)),
    }
    if identity:
        terms["nce_B"] = objective.lambda_nce_identity * nce(slice(count, None))
    return terms, fake_B


def discriminator_losses(
    model: CUT, real_B: Tensor, fake_B: Tensor, objective: ContrastiveObjective
) -> dict[str, Tensor]:
    """The discriminator's side, times 1/2 as in CycleGAN. The fakes are detached here."""
    score_real, score_fake = model.D_B(real_B), model.D_B(fake_B.detach())
    loss = losses.discriminator_loss(score_real, score_fake, objective.adversarial)
    return {"D_B": 0.5 * loss}


def training_step(
    model: CUT,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    pool_B: Callable[[Tensor], Tensor],
    objective: ContrastiveObjective,
    positions: Sequence[Tensor],
) -> dict[str, Tensor]:
    """One step of both sides, in the order of `cyclegan.training_step`.

    The authors' code steps the discriminator first, and draws places for each PatchNCE term.

    Args:
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        optimizer_G: of the generator and the heads.
        pool_B: takes the fresh fakes, gives those to show D_B; the paper's own has size 0.
        positions: of this step, see `CUT.draw_positions`.

    Returns:
        Every loss term by name, detached, still on the device.
    """
    with frozen(model.discriminator_parameters()):
        terms_G, fake_B = generator_losses(model, real_A, real_B, objective, positions)
        optimizer_G.zero_grad(set_to_none=True)
        sum(terms_G.values()).backward()
    optimizer_G.step()

    terms_D = discriminator_losses(model, real_B, pool_B(fake_B.detach()), objective)
    optimizer_D.zero_grad(set_to_none=True)
    sum(terms_D.values()).backward()
    optimizer_D.step()
    return {name: term.detach() for name, term in (terms_G | terms_D).items()}
