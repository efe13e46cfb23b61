"""The features of FID and KID, and both distances against closed forms."""

import hashlib
import io
import json
import sys
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from scipy.stats import spearmanr
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.transforms.v2.functional import gaussian_blur

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.metrics import features as features_module
from cyclegan_course.metrics import inception
from cyclegan_course.metrics.distribution import fid, frechet_distance, kernel_distance, kid
from cyclegan_course.metrics.features import load_features
from cyclegan_course.metrics.picture_statistics import names, picture_statistics


def random_features(n, d, seed=0):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _generator():
    return torch.Generator().manual_seed(0)


def with_moments(n, mean, root, seed):
    """Features whose sample mean is exactly `mean` and whose covariance is `root @ root.T`."""
    x = random_features(n, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.inv(torch.linalg.cholesky(x.T.cov()))
    return x @ white.T @ root.T + mean


@pytest.fixture(scope="module")
def crops():
    """48 crops of 64 pixels of six real photographs: two sets of 24, (N, 3, 64, 64)."""
    rng = np.random.default_rng(0)
    found = []
    for photograph in worlds.photographs().values():
        for _ in range(8):
            top, left = (int(rng.integers(side - 256)) for side in photograph.shape[:2])
            square = Image.fromarray(photograph[top : top + 256, left : left + 256])
            found.append(picture_to_tensor(square.resize((64, 64))))
    return torch.stack(found[::2]), torch.stack(found[1::2])


class TestFrechetDistance:
    def test_gaussians_of_known_mean_and_covariance(self):
        d = 6
        mean_a, mean_b = random_features(2, d, seed=1)
        root_a, root_b = random_features(2 * d, d, seed=2).split(d)
        a, b = with_moments(50, mean_a, root_a, 3), with_moments(70, mean_b, root_b, 4)
        cov_a, cov_b = (root @ root.T for root in (root_a, root_b))
        middle = sqrtm((cov_a @ cov_b).numpy()).real
        closed = (mean_a - mean_b).square().sum() + (cov_a + cov_b).trace() - 2 * middle.trace()
        assert frechet_distance(a, b) == pytest.approx(closed.item(), rel=1e-8)

    def test_axis_by_axis(self):
        """Of N(0, 1) and N(3, 2^2) it is 3^2 + (2 - 1)^2; independent axes add up."""
        a = with_moments(20, torch.zeros(2).double(), torch.eye(2).double(), 0)
        assert frechet_distance(a, 2 * a + 3) == pytest.approx(20)

    def test_equal_sets(self):
        a = random_features(40, 5)
        assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-6)

    def test_symmetric(self):
        a, b = random_features(30, 4, 1), 2 * random_features(20, 4, 2)
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))

    def test_fewer_pictures_than_features_only_enlarge_it(self):
        """The bias that the docstring warns of: sets of one kind, ever fewer of them."""
        values = [
            frechet_distance(random_features(n, 32, 1), random_features(n, 32, 2))
            for n in (2000, 200, 20)
        ]
        assert 0 <= values[0] < values[1] < values[2]
        assert values[2] > 10


class TestKernelDistance:
    def test_double_loop(self):
        a, b = random_features(5, 3, 1), random_features(7, 3, 2) + 1

        def k(x, y):
            return (float(x @ y) / 3 + 1) ** 3

        expected = sum(k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / 20
        expected += sum(k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / 42
        expected -= 2 * sum(k(x, y) for x in a for y in b) / 35
        assert kernel_distance(a, b) == pytest.approx(expected)

    @pytest.mark.filterwarnings("ignore:Metric `Kernel")
    def test_torchmetrics_with_one_subset_of_all(self):
        class AsTheyAre(torch.nn.Module):
            num_features = 4

            def forward(self, x):
                return x

        a, b = random_features(12, 4, 1), random_features(12, 4, 2) * 1.5
        metric = KernelInceptionDistance(feature=AsTheyAre(), subsets=1, subset_size=12)
        metric = metric.set_dtype(torch.float64)
        metric.update(a, real=True)
        metric.update(b, real=False)
        assert kernel_distance(a, b) == pytest.approx(metric.compute()[0].item(), rel=1e-5)

    def test_zero_on_average_for_sets_of_one_kind(self):
        """Unbiased at any size, unlike the Fréchet distance."""
        for n in (4, 12):
            values = torch.tensor(
                [
                    kernel_distance(random_features(n, 8, 2 * i), random_features(n, 8, 2 * i + 1))
                    for i in range(400)
                ]
            )
            assert abs(values.mean()) < 4 * values.std() / 20
            assert (values < 0).any()


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
class TestBadFeatures:
    def test_order_of_the_pictures_does_not_matter(self, distance):
        a, b = random_features(9, 3, 1), random_features(11, 3, 2)
        assert distance(a.flip(0), b.flip(0)) == pytest.approx(distance(a, b))

    def test_different_features(self, distance):
        with pytest.raises(CourseError, match="same network"):
            distance(torch.zeros(4, 3), torch.zeros(4, 2))

    def test_one_picture(self, distance):
        with pytest.raises(CourseError, match="at least two"):
            distance(torch.zeros(1, 3), torch.zeros(4, 3))

    def test_not_finite(self, distance):
        with pytest.raises(CourseError, match="NaN"):
            distance(torch.full((4, 3), torch.nan), torch.zeros(4, 3))


class TestCourseFeatures:
    def test_a_name_for_each(self):
        network = load_features()
        found = network(torch.zeros(2, 3, 48, 64))
        assert found.shape == (2, network.num_features)
        assert len(set(names())) == len(names()) == network.num_features
        assert found.dtype == torch.float32
        assert "course" in network.label

    @pytest.mark.parametrize("side", [16, 48, 67, 256])
    @pytest.mark.parametrize("kind", ["flat", "black", "noise"])
    def test_any_picture_gives_numbers(self, side, kind):
        noise = torch.rand(2, 3, side, side + 5, generator=torch.Generator().manual_seed(0))
        images = {"flat": 0 * noise, "black": 0 * noise - 1, "noise": 2 * noise - 1}[kind]
        assert load_features()(images).isfinite().all()

    def test_each_picture_by_itself(self, crops):
        network = load_features()
        together, alone = network(crops[0]), [network(each[None]) for each in crops[0]]
        assert torch.allclose(together, torch.cat(alone), atol=1e-4)

    def test_closed_forms(self):
        """A picture of two halves, with luma -0.5 above and 0.5 below."""
        images = torch.full((1, 3, 32, 32), -0.5)
        images[:, :, 16:] = 0.5
        found = dict(zip(names(), picture_statistics(images)[0].tolist(), strict=True))
        assert found["mean luma"] == pytest.approx(0, abs=1e-6)
        assert found["contrast luma"] == pytest.approx(np.log(0.5 + 1 / 255), abs=1e-5)
        assert found["skewness luma"] == pytest.approx(0, abs=1e-5)
        assert found["luma at 0,1"] == pytest.approx(-0.5)
        assert found["luma at 1,0"] == pytest.approx(0.5)
        assert found["blue at 1,0"] == pytest.approx(0, abs=1e-6)
        assert found["edges 0 across"] == pytest.approx(np.log(1 / 255))
        assert found["edges 0 down"] == pytest.approx(np.log(1 / 31 + 1 / 255), abs=1e-5)

    def test_a_mirror_exchanges_what_it_must(self, crops):
        plain, mirrored = (picture_statistics(each) for each in (crops[0], crops[0].flip(3)))
        place = {name: i for i, name in enumerate(names())}
        for one, other in (
            ("edges 0 falling", "edges 0 rising"),
            ("edges 0 across", "edges 0 across"),
            ("luma at 0,0", "luma at 0,1"),
            ("skewness red", "skewness red"),
        ):
            assert torch.allclose(plain[:, place[one]], mirrored[:, place[other]], atol=1e-4)

    def test_units_are_those_of_pictures(self):
        """Over pictures of all worlds every feature is of the order of 1."""
        pictures = [
            worlds.render(w, 40 + i, d, 64) for w in worlds.WORLDS for d in "AB" for i in (0, 1)
        ]
        found = load_features()(torch.stack([picture_to_tensor(each) for each in pictures]))
        assert found.std(0).max() < 4
        assert found.std(0).min() > 0.1
        assert found.mean(0).abs().max() < 2

    def test_pictures_that_are_none(self):
        with pytest.raises(CourseError, match=r"\[-1, 1\]"):
            load_features()(torch.full((2, 3, 32, 32), 128.0))
        with pytest.raises(CourseError, match="too small"):
            load_features()(torch.zeros(2, 3, 8, 32))

    def test_an_unknown_name(self):
        with pytest.raises(CourseError, match="inception-legacy"):
            load_features("vgg")

    def test_no_gradients(self, crops):
        assert not load_features()(crops[0][:2].clone().requires_grad_()).requires_grad


DAMAGES = {
    "noise": lambda x, t: x + 0.3 * t * torch.randn(x.shape, generator=_generator()),
    "blur": lambda x, t: gaussian_blur(x, [13, 13], [0.3 + 2 * t, 0.3 + 2 * t]),
    "colour": lambda x, t: x + t * torch.tensor([0.3, -0.1, -0.3])[:, None, None],
    "grey": lambda x, t: x.lerp(x.mean(1, keepdim=True), t),
}


class TestRealPhotographs:
    """Graded damage of real photographs, which the worlds know nothing of."""

    @pytest.mark.parametrize("metric", [fid, kid])
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_more_damage_is_further(self, crops, damage, metric):
        images, reference = crops
        found = [
            metric(DAMAGES[damage](images, t).clamp(-1, 1), reference)
            for t in (0.1, 0.25, 0.45, 0.7, 1)
        ]
        assert spearmanr(found, range(5)).statistic >= 0.9


class TestResize:
    @pytest.mark.parametrize("shape", [(64, 64), (256, 256), (400, 333), (48, 100)])
    def test_clean_is_pillows_in_float(self, shape):
        levels = (torch.rand(3, *shape, generator=_generator()) * 255).round()
        pillow = [
            np.asarray(Image.fromarray(each.numpy()).resize((299, 299), Image.Resampling.BICUBIC))
            for each in levels
        ]
        found = inception.resize_clean(levels[None])[0]
        assert (found - torch.from_numpy(np.stack(pillow)).clamp(0, 255)).abs().max() < 0.02

    def test_legacy_is_tensorflows(self):
        """Source place = target place * scale, without half a pixel of offset or antialiasing."""
        pytest.importorskip("torch_fidelity")
        levels = (
            (torch.rand(1, 1, 600, 40, generator=_generator()) * 255).round().expand(1, 3, -1, -1)
        )
        found = inception.resize_legacy(levels)[0, 0]
        for row, column in ((0, 0), (7, 250), (298, 298), (150, 3)):
            y, x = row * 600 / 299, column * 40 / 299
            top, left = int(y), int(x)
            below, right = min(top + 1, 599), min(left + 1, 39)
            picture = levels[0, 0].double()
            upper = picture[top, left] * (left + 1 - x) + picture[top, right] * (x - left)
            lower = picture[below, left] * (left + 1 - x) + picture[below, right] * (x - left)
            expected = upper * (top + 1 - y) + lower * (y - top)
            assert found[row, column].item() == pytest.approx(expected.item(), abs=0.01)

    def test_they_differ_where_a_picture_shrinks(self):
        pytest.importorskip("torch_fidelity")
        stripes = torch.zeros(1, 3, 897, 897)
        stripes[..., ::3] = 255  # three times finer than the target can show
        assert inception.resize_clean(stripes).std() < 5
        assert inception.resize_legacy(stripes).std() < 1  # aliased into one flat colour ...
        means = inception.resize_clean(stripes).mean(), inception.resize_legacy(stripes).mean()
        assert abs(means[0] - 85) < 1  # ... and the wrong one: a third of the pixels is white
        assert abs(means[1] - 85) > 100


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A stand-in for the download: the real architecture with random weights, under its hash."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        extractor = module.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=empty
        )
    for layer in extractor.modules():  # torch's own weights would let the signal fade to 1e-8
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    home = tmp_path_factory.mktemp("torch_home")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / "weights.pth"
    torch.save(extractor.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file = file.rename(folder / f"weights-inception-{digest}.pth")
    return home, f"https://example.org/{file.name}", extractor


class TestInception:
    @pytest.fixture
    def home(self, published, monkeypatch, tmp_path):
        """The cache with the stand-in; no test may reach for the network."""
        home, address, _ = published
        monkeypatch.setenv("TORCH_HOME", str(home))
        module = sys.modules["torch_fidelity.feature_extractor_inceptionv3"]
        monkeypatch.setattr(module, "URL_INCEPTION_V3", address)
        monkeypatch.setattr(torch.hub, "download_url_to_file", self.no_network)
        load_features.cache_clear()
        yield home
        load_features.cache_clear()

    @staticmethod
    def no_network(*_):
        raise urllib.error.URLError("no network here")

    def test_legacy_equals_torch_fidelity(self, home, published, crops):
        network = load_features("inception-legacy")
        images = crops[0][:2]
        levels = ((images + 1) * 127.5).round().to(torch.uint8)
        (expected,) = published[2](levels)
        assert expected.std() > 1e-2
        assert torch.allclose(network(images), expected, rtol=1e-3, atol=1e-4 * expected.std())
        assert network.num_features == 2048
        assert "legacy" in network.label

    def test_clean_sees_what_clean_fid_sees(self, home, published, crops):
        """At 299 pixels both protocols resize nothing, so they agree; at 64 they do not."""
        clean, legacy = load_features("inception"), load_features("inception-legacy")
        assert "clean-fid" in clean.label
        images = torch.nn.functional.interpolate(crops[0][:1], (299, 299))
        assert torch.allclose(clean(images), legacy(images), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(clean(crops[0][:1]), legacy(crops[0][:1]), rtol=1e-1)

    def test_a_cut_file(self, home, published, tmp_path, monkeypatch):
        name = published[1].rsplit("/", 1)[1]
        whole = home / "hub" / "checkpoints" / name
        cut = tmp_path / "hub" / "checkpoints" / name
        cut.parent.mkdir(parents=True)
        cut.write_bytes(whole.read_bytes()[:10_000])
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(CourseError, match="damaged or another file"):
            load_features("inception")

    def test_without_a_network(self, home, published, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(CourseError, match="no network here") as error:
            load_features("inception")
        name = published[1].rsplit("/", 1)[1]
        assert str(tmp_path / "hub" / "checkpoints" / name) in str(error.value)
        assert name[-12:-4] in str(error.value)
        assert published[1] in str(error.value)

    def test_without_torch_fidelity(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
        monkeypatch.setitem(sys.modules, "torch_fidelity.interpolate_compat_tensorflow", None)
        with pytest.raises(CourseError, match="pip install torch-fidelity"):
            inception.load_inception(legacy=False)
        with pytest.raises(CourseError, match="pip install torch-fidelity"):
            inception.resize_legacy(torch.zeros(1, 3, 4, 4))

    def test_the_name_holds_the_hash(self):
        """The address is torch-fidelity's; its last word is the beginning of a sha256."""
        module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
        prefix = inception._hash_prefix(inception.Path(module.URL_INCEPTION_V3))
        assert len(prefix) == 8
        assert int(prefix, 16) >= 0


def test_the_units_are_whole():
    units = json.loads(features_module._UNITS.read_text(encoding="utf-8"))
    assert list(units["features"]) == names()
    assert all(each["deviation"] > 0 for each in units["features"].values())
