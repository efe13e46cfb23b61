"""A minute fit with the answers at hand: what can a network learn in a hundred steps?"""

import torch
from torch import Tensor, nn


def short_fit(
    net: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    steps: int,
    lr: float,
    seed: int,
    batch: int = 4,
) -> list[float]:
    """Train a network with the answers at hand, by Adam on the mean absolute error.

    This is no CycleGAN, only a quick test of what a network can learn. The pictures of each step
    are drawn by a generator with that seed, so two networks see the same ones.

    Args:
        net: maps a batch of `inputs` to the shape of `targets`; it is trained in place.
        inputs, targets: pictures (N, C, H, W) in the same order.

    Returns:
        The loss at each step.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999))
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (batch,), generator=generator)
        loss = (net(inputs[chosen]) - targets[chosen]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
