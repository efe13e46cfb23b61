"""Translators of known order: that the order is as promised, and that the metrics see it."""

import metric_ranking as ranking
import pytest
import torch
from scipy.stats import spearmanr

from cyclegan_course import metrics, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.metrics import known_order
from cyclegan_course.metrics.distribution import fid, kid


def small(kind="main", world="night", direction="AB", count=8, size=32):
    return list(known_order.ladder(world, count, size, kind, direction).values())


class TestLadders:
    @pytest.mark.parametrize("kind", known_order.KINDS)
    def test_the_truth_comes_first(self, kind):
        sets = small(kind)
        _, truth = known_order.pairs("night", 8, 32)
        assert torch.equal(sets[0], truth)
        for each in sets:
            assert each.shape == truth.shape
            assert each.abs().max() <= 1

    def test_at_least_seven(self):
        for steps in (known_order.MAIN, known_order.STYLE, known_order.CONTENT):
            assert len(steps) >= 7
            assert sorted(set(steps)) == list(steps)
        assert len({round(48 * share) for share in known_order.DIVERSITY}) >= 7

    def test_deterministic_and_without_the_global_random_numbers(self):
        before = torch.get_rng_state()
        assert all(map(torch.equal, small(), small()))
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("direction", ["AB", "BA"])
    @pytest.mark.parametrize("world", worlds.WORLDS)
    def test_main_leaves_the_truth_step_by_step(self, world, direction):
        sets = small(world=world, direction=direction)
        errors = [metrics.l1(each, sets[0]).item() for each in sets]
        assert errors == sorted(errors)
        assert len(set(errors)) == len(errors)

    def test_the_direction(self):
        source, truth = known_order.pairs("night", 3, 16)
        back = known_order.pairs("night", 3, 16, "BA")
        assert torch.equal(source, back[1])
        assert torch.equal(truth, back[0])

    def test_style_keeps_every_edge_in_its_place(self):
        _, truth = known_order.pairs("night", 4, 64)
        for t in known_order.STYLE:
            rough = metrics.blur(
                known_order.wrong_look(truth, t).mean(1, keepdim=True).repeat(1, 3, 1, 1)
            )
            other = metrics.blur(truth.mean(1, keepdim=True).repeat(1, 3, 1, 1))
            both = torch.stack([rough.flatten(), other.flatten()])
            assert torch.corrcoef(both)[0, 1] > 0.95

    def test_content_only_changes_places(self):
        sets = small("content", count=20)
        truth = sets[0]
        for share, each in zip(known_order.CONTENT, sets, strict=True):
            distances = torch.cdist(each.flatten(1), truth.flatten(1))
            shows = distances.argmin(1)
            assert sorted(shows.tolist()) == list(range(20))
            assert (shows != torch.arange(20)).sum() == round(share * 20)

    def test_a_small_share_still_changes_something(self):
        _, truth = known_order.pairs("night", 4, 16)
        assert (known_order.shuffled(truth, 0.1) != truth).flatten(1).any(1).sum() == 2

    @pytest.mark.parametrize("count", [1, 10, 16])
    def test_diversity_says_how_many_differ(self, count):
        for name, each in known_order.ladder("night", count, 16, "diversity").items():
            assert len(each.flatten(1).unique(dim=0)) == int(name.split()[0])

    def test_unknown(self):
        with pytest.raises(CourseError, match="diversity"):
            known_order.ladder("night", 4, 16, "charm")
        with pytest.raises(CourseError, match="AB"):
            known_order.ladder("night", 4, 16, "main", "A to B")
        with pytest.raises(CourseError, match="no world"):
            known_order.ladder("moon", 4, 16)

    def test_the_reference_shows_other_scenes(self):
        target = known_order.reference("night", 4, 32, start=4)
        _, later = known_order.pairs("night", 4, 32, start=8)
        assert torch.equal(target, later)


@pytest.fixture(scope="module")
def blocks():
    """World: (reference, pairs), 32 scenes of 48 pixels."""
    return {
        world: (known_order.reference(world, 32, 48), known_order.pairs(world, 32, 48))
        for world in ("painting", "night")
    }


class TestTheMetricsSeeIt:
    @pytest.mark.parametrize("metric", [fid, kid])
    @pytest.mark.parametrize("world", ["painting", "night"])
    def test_main(self, blocks, world, metric):
        reference, (source, truth) = blocks[world]
        found = [metric(known_order.damaged(truth, source, t), reference) for t in known_order.MAIN]
        assert spearmanr(found, known_order.MAIN).statistic >= 0.9

    @pytest.mark.parametrize("metric", [fid, kid])
    @pytest.mark.parametrize("world", ["painting", "night"])
    def test_style(self, blocks, world, metric):
        reference, (_, truth) = blocks[world]
        found = [metric(known_order.wrong_look(truth, t), reference) for t in known_order.STYLE]
        assert spearmanr(found, known_order.STYLE).statistic >= 0.9

    @pytest.mark.parametrize("world", ["painting", "night"])
    def test_fid_sees_collapse(self, blocks, world):
        reference, (_, truth) = blocks[world]
        found = [fid(known_order.repeated(truth, k), reference) for k in (32, 16, 8, 4, 1)]
        assert found == sorted(found)

    @pytest.mark.parametrize("metric", [fid, kid])
    def test_no_distribution_sees_other_scenes(self, blocks, metric):
        reference, (_, truth) = blocks["night"]
        found = metric(known_order.shuffled(truth, 1.0), reference)
        assert found == pytest.approx(metric(truth, reference), rel=1e-4, abs=1e-4)
        assert metrics.l1(known_order.shuffled(truth, 1.0), truth) > 0.05


class TestPainters:
    def test_perception_against_distortion(self, blocks):
        """Nearer to the truth at every pixel, further from oil paintings."""
        reference, (_, truth) = blocks["painting"]
        sets = list(known_order.painters(12, 48, numbers=(1, 2, 4)).values())
        sharp = [metrics.psnr(each, truth[:12]).item() for each in sets]
        far = [fid(each, reference) for each in sets]
        assert sharp == sorted(sharp)
        assert far == sorted(far)

    def test_the_mean_of_independent_guesses(self, blocks):
        """Squared error of k painters: (1 + 1 / k) / 2 of one painter's."""
        _, (_, truth) = blocks["painting"]
        one, four = known_order.painters(12, 48, numbers=(1, 4)).values()
        ratio = (four - truth[:12]).square().mean() / (one - truth[:12]).square().mean()
        assert ratio.item() == pytest.approx(0.625, abs=0.06)


@pytest.fixture(scope="module")
def cheats():
    return known_order.cheats("night", 12, 32, training=40)


@pytest.fixture(scope="module")
def training():
    pictures = worlds.training_pictures("night", "B", 40, 32)
    return torch.stack([picture_to_tensor(each) for each in pictures])


class TestCheats:
    def test_the_copy(self, cheats):
        source, _ = known_order.pairs("night", 12, 32)
        assert torch.equal(cheats["copies its input"], source)

    @pytest.mark.parametrize("name", ["ignores its input", "memorised the training set"])
    def test_only_training_pictures(self, cheats, training, name):
        for picture in cheats[name]:
            assert (training == picture).flatten(1).all(1).any()

    def test_ignoring_means_the_same_for_other_scenes(self, cheats):
        others = known_order.cheats("night", 12, 32, start=50, training=40)
        assert torch.equal(cheats["ignores its input"], others["ignores its input"])
        assert not torch.equal(cheats["copies its input"], others["copies its input"])

    def test_memory_looks_at_the_input(self, cheats):
        _, truth = known_order.pairs("night", 12, 32)
        blurred = {
            name: metrics.l1(metrics.blur(x), metrics.blur(truth)) for name, x in cheats.items()
        }
        assert blurred["memorised the training set"] < blurred["ignores its input"]

    def test_few_training_pictures_are_shown_again(self):
        assert len(known_order.cheats("night", 12, 16, training=5)["ignores its input"]) == 12


class TestRankingTable:
    def rows(self, ladder="main", **values):
        """Four translators in their known order, in one block of scenes."""
        base = {"world": "night", "direction": "AB", "start": 0, "ladder": ladder}
        found = []
        for rank in range(4):
            numbers = {name: 0.0 for name in ranking.METRICS}
            numbers |= {name: float(each[rank]) for name, each in values.items()}
            found.append(base | {"rank": rank, "translator": f"t{rank}"} | numbers)
        return found

    def test_higher_is_better_or_worse(self):
        rows = self.rows(psnr=[40, 30, 20, 10], l1=[1, 2, 3, 4], fid=[4, 3, 2, 1])
        found = ranking.correlations(rows, "main")["night", "AB"]
        assert found["psnr"] == [pytest.approx(1)]
        assert found["l1"] == [pytest.approx(1)]
        assert found["fid"] == [pytest.approx(-1)]

    def test_blind_is_no_number(self):
        rows = self.rows(kid=[1, 1 + 1e-13, 1, 1])
        assert ranking.correlations(rows, "main")["night", "AB"]["kid"] == [None]
        assert "blind" in ranking.table(rows, "main")

    def test_trained_ones_stand_in_the_order_of_the_sealed_truth(self):
        rows = self.rows("trained", blurred_psnr=[10, 20, 40, 30], fid=[9, 8, 1, 2])
        found = ranking.correlations(rows, "trained")["night", "AB"]
        assert found["fid"] == [pytest.approx(1)]

    def test_one_trained_generator_has_no_order(self):
        assert not ranking.correlations(self.rows("trained")[:1], "trained")

    def test_written_and_read_again(self, tmp_path, monkeypatch):
        monkeypatch.setattr(ranking, "FILE", tmp_path / "ranking.csv")
        rows = self.rows(psnr=[4, 3, 2, 1])
        ranking.write(rows)
        assert ranking.read() == rows

    def test_a_block_of_scenes(self, monkeypatch, tmp_path):
        monkeypatch.setattr(ranking, "COUNT", 4)
        monkeypatch.setattr(ranking, "SIZE", 32)
        monkeypatch.setattr(ranking, "available_names", lambda: [])
        rows = list(ranking.measure_all("night", "BA", 0, tmp_path))
        assert {row["ladder"] for row in rows} == {*known_order.KINDS, "cheats"}
        truth = rows[0]
        assert truth["psnr"] == pytest.approx(metrics.PSNR_CEILING)
        assert truth["l1"] == 0
