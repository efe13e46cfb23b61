"""The classic unpaired sets of Zhu et al. (ICCV 2017): where they lie and what they must be.

Sources, each a public record:

- The addresses are those of the authors' server. Their first server is gone; the one below is
  named in github.com/taesungp/contrastive-unpaired-translation, issue 171, over https, and by the
  loading script of huggingface.co/datasets/gigant/horse2zebra, over http.
- Sizes and SHA-256 sums are those that TensorFlow Datasets recorded at the first server
  (github.com/tensorflow/datasets, tensorflow_datasets/url_checksums/cycle_gan.txt). The same sum of
  horse2zebra stands at huggingface.co/datasets/kerls/cyclegan-horse2zebra, which is its mirror.
- The mirror of monet2photo is named in the README of github.com/aimagelab/art2real.

No mirror of the other sets as the same zip archive is known to us. A mirror that holds anything
else is found out by its size or its sum. `cityscapes` is left out: its licence forbids to pass it
on, and the authors took it away.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSet:
    """One set: a zip archive with the folders trainA, trainB, testA and testB.

    Args:
        name: of the set, of its archive and of its folder.
        about: its two domains, A first.
        addresses: where the archive is looked for, in this order.
        size: bytes of the archive, None if unknown.
        sha256: of the archive, None if nobody published it.
        needs: folders that must hold pictures.
    """

    name: str
    about: str
    addresses: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    needs: tuple[str, ...] = ("trainA", "trainB")


def _addresses(name: str) -> tuple[str, ...]:
    # Some networks let only https pass; others do not trust the server's certificate.
    file = f"{SERVER}/{name}.zip"
    return (f"http://{file}", *MIRRORS.get(name, ()), f"https://{file}")


SERVER = "efrosgans.eecs.berkeley.edu/cyclegan/datasets"

MIRRORS = {
    "horse2zebra": (
        "https://huggingface.co/datasets/kerls/cyclegan-horse2zebra/resolve/main/horse2zebra.zip",
    ),
    "monet2photo": (
        "https://ailb-web.ing.unimore.it/publicfiles/drive/CVPR%202019%20-%20Art2Real/datasets/"
        "monet2photo.zip",
    ),
}

# name, domains, bytes, SHA-256
_TRAINING_SETS = (
    (
        "horse2zebra",
        "horses, zebras",
        116_867_962,
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    ),
    (
        "apple2orange",
        "apples, oranges",
        78_456_409,
        "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    ),
    (
        "summer2winter_yosemite",
        "Yosemite in summer, in winter",
        132_640_856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    ),
    (
        "monet2photo",
        "paintings by Monet, landscape photographs",
        305_231_073,
        "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    ),
    (
        "cezanne2photo",
        "paintings by Cezanne, landscape photographs",
        279_885_071,
        "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    ),
    (
        "ukiyoe2photo",
        "Ukiyo-e prints, landscape photographs",
        292_946_532,
        "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    ),
    (
        "vangogh2photo",
        "paintings by Van Gogh, landscape photographs",
        306_590_349,
        "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
    ),
    (
        "maps",
        "aerial photographs, maps",
        1_476_754_427,
        "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    ),
    (
        "facades",
        "photographs of facades, their labels",
        35_135_868,
        "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    ),
    (
        "iphone2dslr_flower",
        "flowers by a telephone, by a camera",
        339_964_458,
        "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
    ),
)

SETS: dict[str, DataSet] = {
    name: DataSet(name, about, _addresses(name), size, sha256)
    for name, about, size, sha256 in _TRAINING_SETS
}
# The authors' photographs to try a trained network on: it has no training folders.
SETS["ae_photos"] = DataSet(
    "ae_photos",
    "photographs to test with, no training set",
    _addresses("ae_photos"),
    needs=("testA",),
)
