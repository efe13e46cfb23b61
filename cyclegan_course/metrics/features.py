"""Networks that describe a picture by a list of numbers: what FID and KID compare.

`load_features("course")` needs no download; why its ranking can be trusted is measured in
benchmarks/README.md. "inception" and "inception-legacy" are the ones of published numbers.
"""

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.checks import checked
from cyclegan_course.metrics.inception import NUM_FEATURES, load_inception
from cyclegan_course.metrics.picture_statistics import PictureStatistics, names

FEATURES = {
    "course": "course features (colour and texture statistics)",
    "inception": "Inception features, clean-fid resize",
    "inception-legacy": "Inception features, legacy TensorFlow 1 resize",
}
SMALLEST_SIDE = 16
_BATCH = 16  # Inception holds about 20 MB of maps a picture
_UNITS = Path(__file__).with_name("picture_statistics.json")


class FeatureNetwork(nn.Module):
    """Float pictures (N, 3, H, W) in [-1, 1] to features (N, num_features), without gradients.

    Attributes:
        label: what the features are and how pictures are resized; name it beside every number,
            because numbers of different features cannot be compared.
        num_features: columns of the result.
    """

    def __init__(self, net: nn.Module, label: str, num_features: int) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(False)
        self.label = label
        self.num_features = num_features

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """A few pictures at a time, in float32, on the device of the network's own numbers.

        Raises CourseError for pictures that are not float in [-1, 1], or below 16 pixels a side.
        """
        images = checked(images)
        if min(images.shape[-2:]) < SMALLEST_SIDE:
            raise CourseError(
                f"Pictures of {images.shape[-2]} x {images.shape[-1]} pixels are too small for "
                f"features: use at least {SMALLEST_SIDE} a side."
            )
        device = next(iter(self.net.state_dict().values())).device
        return torch.cat([self.net(batch.to(device)) for batch in images.split(_BATCH)])


@cache
def load_features(name: str = "course") -> FeatureNetwork:
    """The features for FID and KID, loaded once:

    - "course": colour and texture statistics (`picture_statistics`), offline, the same on every
      machine; pictures are taken at their own size, so compare sets of one size;
    - "inception": the published network, resized as clean-fid does it (Parmar et al. 2022);
    - "inception-legacy": the same network, resized as TensorFlow 1 did it inside the network
      (Heusel et al. 2017, and most numbers before 2021).

    The Inception ones need torch-fidelity and fetch 91 MB once. Raises CourseError for another
    name, without torch-fidelity, and when the weights cannot be fetched.
    """
    if name not in FEATURES:
        raise CourseError(
            f"There are no features called {name!r}: choose one of {', '.join(FEATURES)}."
        )
    if name == "course":
        units = json.loads(_UNITS.read_text(encoding="utf-8"))
        mean, deviation = (
            torch.tensor([units["features"][each][what] for each in names()])
            for what in ("mean", "deviation")
        )
        return FeatureNetwork(PictureStatistics(mean, deviation), FEATURES[name], len(names()))
    network = load_inception(legacy=name == "inception-legacy")
    return FeatureNetwork(network, FEATURES[name], NUM_FEATURES)
