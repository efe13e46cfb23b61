"""Batches and pools with a fault, called like `datasets.UnpairedBatches` and `two_pools`."""

from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import Crop, ImagePool, UnpairedBatches, cut, to_images
from cyclegan_course.laboratory.recipe import Pool


class FromZeroToOne(UnpairedBatches):
    """Pictures in [0, 1], while the generators' tanh gives [-1, 1]."""

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        real_A, real_B = super().__call__(step)
        return (real_A + 1) / 2, (real_B + 1) / 2


class _FedFromZeroToOne(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x + 1) / 2)


def fed_from_zero_to_one(model: CycleGAN) -> CycleGAN:
    """The same fault when the networks are used: fed [0, 1], their output taken as [-1, 1]."""
    model.G_AB, model.G_BA = _FedFromZeroToOne(model.G_AB), _FedFromZeroToOne(model.G_BA)
    return model


class _Recropped(UnpairedBatches):
    """Batches whose crops are changed by `_change` before they are cut out."""

    def _change(self, crops_A: list[Crop], crops_B: list[Crop]) -> tuple[list[Crop], list[Crop]]:
        raise NotImplementedError

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        crops_A, crops_B = self._change(*self.crops(step))
        size = self.crops.size
        return (
            to_images(cut(self.crops.A, crops_A, size)),
            to_images(cut(self.crops.B, crops_B, size)),
        )


class FrozenAugmentation(_Recropped):
    """Each picture is mirrored and cropped once, when it is first read, and kept like that."""

    def _change(self, crops_A: list[Crop], crops_B: list[Crop]) -> tuple[list[Crop], list[Crop]]:
        if not hasattr(self, "_kept"):
            self._kept: dict[tuple[str, int], Crop] = {}
        return tuple(
            [self._kept.setdefault((domain, crop.picture), crop) for crop in crops]
            for domain, crops in (("A", crops_A), ("B", crops_B))
        )


class SameRow(_Recropped):
    """B is taken from the same row as A: picture i of A always meets picture i of B."""

    def _change(self, crops_A: list[Crop], crops_B: list[Crop]) -> tuple[list[Crop], list[Crop]]:
        rows = [crop.picture % len(self.crops.B) for crop in crops_A]
        return crops_A, [
            crop._replace(picture=row) for crop, row in zip(crops_B, rows, strict=True)
        ]


def one_pool(size: int, seed: int) -> tuple[Pool, Pool]:
    """One history for both domains: D_B is shown old fakes of A, and D_A old fakes of B."""
    pool = ImagePool(size, seed)
    return pool, pool
