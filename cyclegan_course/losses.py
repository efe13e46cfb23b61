"""The losses of CycleGAN and of CUT as pure functions of tensors. All means, all scalars.

Scores are the raw outputs of a discriminator, of any shape; pictures are (N, 3, H, W) in [-1, 1].
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Adversarial = Literal["lsgan", "vanilla", "non_saturating", "hinge"]
ADVERSARIAL_LOSSES: tuple[str, ...] = get_args(Adversarial)


def discriminator_loss(
    score_real: Tensor, score_fake: Tensor, kind: Adversarial = "lsgan"
) -> Tensor:
    """What a discriminator minimises: high scores for real pictures, low ones for fakes.

    - lsgan: mean (D(x) - 1)^2 + mean D(G(z))^2 (Mao et al. 2017, with labels 0 and 1)
    - vanilla, non_saturating: -mean log s(D(x)) - mean log(1 - s(D(G(z)))), s the sigmoid
      (Goodfellow et al. 2014, equation 1)
    - hinge: mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z))) (Lim and Ye 2017)

    Raises:
        ValueError: for an unknown kind.
    """
    if kind == "lsgan":
        return _distance_to(1.0, score_real) + _distance_to(0.0, score_fake)
    if kind in ("vanilla", "non_saturating"):
        # softplus(-s) = -log(sigmoid(s)), without the overflow of taking the logarithm.
        return F.softplus(-score_real).mean() + F.softplus(score_fake).mean()
    if kind == "hinge":
        return F.relu(1 - score_real).mean() + F.relu(1 + score_fake).mean()
    raise ValueError(_unknown(kind))


def generator_loss(score_fake: Tensor, kind: Adversarial = "lsgan") -> Tensor:
    """What a generator minimises: fakes that the discriminator scores as real.

    - lsgan: mean (D(G(z)) - 1)^2
    - vanilla: mean log(1 - s(D(G(z)))), the minimax game's own term, whose gradient dies where
      the discriminator is sure (Goodfellow et al. 2014, section 3)
    - non_saturating: -mean log s(D(G(z)))
    - hinge: -mean D(G(z))

    Raises:
        ValueError: for an unknown kind.
    """
    if kind == "lsgan":
        return _distance_to(1.0, score_fake)
    if kind == "vanilla":
        return -F.softplus(score_fake).mean()
    if kind == "non_saturating":
        return F.softplus(-score_fake).mean()
    if kind == "hinge":
        return -score_fake.mean()
    raise ValueError(_unknown(kind))


def cycle_consistency_loss(rec: Tensor, real: Tensor) -> Tensor:
    """Mean |G_BA(G_AB(a)) - a|: the way there and back ends at the start (Zhu 2017, eq. 2)."""
    return F.l1_loss(rec, real)


def identity_loss(idt: Tensor, real: Tensor) -> Tensor:
    """Mean |G_AB(b) - b|: what is already of the target domain stays (Zhu 2017, section 5.2)."""
    return F.l1_loss(idt, real)


def patch_nce_loss(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """PatchNCE of one layer: find, among S patches of the input, the one at one's own place.

    Mean over all patches s of -log(exp(q_s . k_s / t) / sum over r of exp(q_s . k_r / t)): cross
    entropy with the patch's own place as its class (Park et al. 2020, equations 2 and 3; the other
    patches are those of the same picture). It is log S where all keys are equally alike.

    Args:
        query: (N, S, C), features of the translation, each of length 1.
        key: (N, S, C), features of the input at the same places, each of length 1.
        temperature: t, small for a strict choice.
    """
    # Autocast would round the likenesses to 8 bits, and the temperature enlarges that by 14.
    with torch.autocast(query.device.type, enabled=False):
        likeness = torch.bmm(query.float(), key.float().transpose(1, 2)) / temperature
    own_place = torch.arange(query.shape[1], device=query.device).expand(len(query), -1)
    return F.cross_entropy(likeness.flatten(0, 1), own_place.flatten())


def _distance_to(label: float, score: Tensor) -> Tensor:
    # Under autocast mse_loss computes in float32, plain arithmetic on bfloat16 scores would not.
    return F.mse_loss(score, torch.full_like(score, label))


def _unknown(kind: str) -> str:
    return f"unknown adversarial loss {kind!r}; choose one of {', '.join(ADVERSARIAL_LOSSES)}"
