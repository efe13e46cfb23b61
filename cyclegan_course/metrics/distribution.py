"""FID and KID: how far apart two sets of pictures are, seen through the features of a network."""

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_kernel

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.features import FeatureNetwork, load_features


def fid(images: Tensor, reference: Tensor, features: FeatureNetwork | None = None) -> float:
    """Fréchet distance of two sets of pictures in feature space (Heusel et al. 2017), at least 0.

    `images` (N, 3, H, W) and `reference` (M, 3, H', W') in [-1, 1]; `features` as `load_features`
    gives them, by default the offline ones. Values of different features are not comparable, and
    neither are values of different N and M: the estimate is too large by an amount that falls with
    the number of pictures. With fewer pictures than features (2048 in Inception) the covariance
    has no full rank, and most of the value is this bias. Then prefer `kid`, which has none.
    """
    network = features or load_features()
    return frechet_distance(network(images), network(reference))


def kid(images: Tensor, reference: Tensor, features: FeatureNetwork | None = None) -> float:
    """Kernel distance of two sets of pictures in feature space (Bińkowski et al. 2018).

    Arguments as for `fid`. Its expectation does not depend on the number of pictures, so small
    sets can be compared; it is 0 on average for two sets of one kind, so it is often a little
    below 0.
    """
    network = features or load_features()
    return kernel_distance(network(images), network(reference))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2)) of features (n, D) and (m, D).

    The squared 2-Wasserstein distance of two Gaussians with these means and covariances C
    (Dowson and Landau 1982); computed by torchmetrics in double precision. n and m at least 2.
    """
    a, b = _checked(a, b)
    metric = FrechetInceptionDistance(feature=_AsTheyAre(a.shape[1])).set_dtype(torch.float64)
    metric.update(a, real=False)
    metric.update(b, real=True)
    return max(0.0, metric.compute().item())  # rounding can leave -1e-12


def frechet_by_pictures(a: Tensor, b: Tensor) -> float:
    """`frechet_distance` of (n, D) and (m, D), faster where n and m are smaller than D.

    The trace of (C_a C_b)^(1/2) is the sum of the singular values of the (n, m) matrix of products
    between the centred features of one set and those of the other.
    """
    a, b = a.double(), b.double()
    centred = [(each - each.mean(dim=0)) / (len(each) - 1) ** 0.5 for each in (a, b)]
    spread = sum(each.square().sum() for each in centred)
    overlap = torch.linalg.svdvals(centred[0] @ centred[1].T).sum()
    return ((a.mean(dim=0) - b.mean(dim=0)).square().sum() + spread - 2 * overlap).item()


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased squared MMD of features (n, D) and (m, D) with the kernel (x.y / D + 1)^3.

    mean k(a, a') + mean k(b, b') - 2 mean k(a, b), the first two over different pictures
    (Gretton et al. 2012, equation 3). All pictures are used at once, in double precision: no
    random subsets, so the same sets give the same number. n and m at least 2.
    """
    a, b = _checked(a, b)
    within = sum(_mean_off_diagonal(poly_kernel(each, each)) for each in (a, b))
    return (within - 2 * poly_kernel(a, b).mean()).item()


class _AsTheyAre(nn.Module):
    """Hands features to torchmetrics, which asks for the network that makes them."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise CourseError(
            f"Features must be two matrices (n, D) and (m, D), not {tuple(a.shape)} and "
            f"{tuple(b.shape)}: take both from the same network."
        )
    if min(len(a), len(b)) < 2:
        raise CourseError(
            f"A distribution cannot be judged by one picture, and the sets hold {len(a)} and "
            f"{len(b)}: give at least two each, better fifty."
        )
    a, b = a.detach().double(), b.detach().to(a.device, torch.float64)
    if not (a.isfinite().all() and b.isfinite().all()):
        raise CourseError("Some features are NaN or infinite, so the sets cannot be compared.")
    return a, b


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
