"""The Inception features of the published FID and KID; their weights are fetched once.

The network is the one of Heusel et al. 2017 (Inception v3 of 2015-12-05, 2048 numbers a picture),
as torch-fidelity has converted it. It wants 299 x 299 pixels, and *how* a picture is resized
changes the result (Parmar et al. 2022). Two protocols:

- clean: bicubic with antialiasing, in float, as Pillow and clean-fid resize;
- legacy: bilinear without antialiasing, as TensorFlow 1 did it inside the network.
"""

import hashlib
import http.client
import importlib
import io
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.errors import CourseError

NUM_FEATURES = 2048
SIDE = 299


class InceptionFeatures(nn.Module):
    """(N, 3, H, W) in [-1, 1] to (N, 2048), of a torch-fidelity `extractor`."""

    def __init__(self, extractor: nn.Module, legacy: bool) -> None:
        super().__init__()
        # The extractor's own `forward` takes bytes only and always resizes its own way. Its
        # children stand in the order in which it calls them; the last is the classifier.
        self.layers = nn.Sequential(*list(extractor.children())[:-1])
        self.resize = resize_legacy if legacy else resize_clean

    def forward(self, images: Tensor) -> Tensor:
        # Published values are of picture files, so of whole levels from 0 to 255.
        levels = ((images + 1) * 127.5).round().clamp(0, 255)
        return self.layers((self.resize(levels) - 128) / 128).flatten(1)


def resize_clean(levels: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 255] to 299 x 299, bicubic with antialiasing and without rounding.

    Pillow's bicubic kernel on each channel in float, as in clean-fid; torch's is the same to 0.01
    of a level.
    """
    resized = F.interpolate(levels, (SIDE, SIDE), mode="bicubic", antialias=True)
    return resized.clamp(0, 255)


def resize_legacy(levels: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 255] to 299 x 299 as TensorFlow 1: bilinear, no antialiasing."""
    module = _torch_fidelity("interpolate_compat_tensorflow")
    return module.interpolate_bilinear_2d_like_tensorflow1x(
        levels, size=(SIDE, SIDE), align_corners=False
    )


def load_inception(legacy: bool) -> InceptionFeatures:
    """The network with its published weights, which are downloaded when they are not there yet.

    They lie in torch's cache (`torch.hub.get_dir()`, folder checkpoints), where torch-fidelity and
    torchmetrics look too. Raises CourseError when torch-fidelity is missing, when the file can
    neither be found nor fetched, and when it is damaged.
    """
    module = _torch_fidelity("feature_extractor_inceptionv3")
    state = _checked_state(_weights_file(module.URL_INCEPTION_V3))
    # The constructor unpickles whatever it is given, so it gets a file that was written here.
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    extractor = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", [str(NUM_FEATURES)], feature_extractor_weights_path=copy
    )
    return InceptionFeatures(extractor, legacy)


def _weights_file(address: str) -> Path:
    file = Path(torch.hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[1]
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(file), _hash_prefix(file))
        except (OSError, http.client.HTTPException, RuntimeError) as error:  # the last: wrong hash
            raise CourseError(
                f"The Inception weights cannot be fetched ({error}): download {address} elsewhere, "
                f"check that its sha256 begins with {_hash_prefix(file)}, and put it at {file}; "
                'or use the features "course", which need no download.'
            ) from error
    return file


def _checked_state(file: Path) -> dict[str, Tensor]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CourseError(f"{file} cannot be read ({error.strerror}).") from error
    if not hashlib.sha256(data).hexdigest().startswith(_hash_prefix(file)):
        raise CourseError(
            f"{file} is damaged or another file: its sha256 should begin with "
            f"{_hash_prefix(file)}. Delete it and try again, and it is downloaded anew."
        )
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _hash_prefix(file: Path) -> str:
    """The first digits of the sha256, which torch-fidelity writes into the file's name."""
    return file.stem.rsplit("-", 1)[1]


def _torch_fidelity(module: str):
    try:
        return importlib.import_module(f"torch_fidelity.{module}")
    except ImportError as error:
        raise CourseError(
            "The Inception features need torch-fidelity: pip install torch-fidelity, or use the "
            'features "course", which need nothing.'
        ) from error
