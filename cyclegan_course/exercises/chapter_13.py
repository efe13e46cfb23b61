"""Exercises of chapter 13: CUT's patches, its loss and its terms; what balance demands."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.cut import CUT, encode
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.exercises.stand_ins import Line
from cyclegan_course.losses import generator_loss

# What the answers are checked with ---------------------------------------------------------------


class Chain(nn.Module):
    """A generator that can be followed by hand: lines with a bend between them, pixel by pixel.

    Shapes: (N, 3, H, W) -> the same.
    """

    def __init__(self, *lines: Line) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for line in lines:
            self.layers += nn.Sequential(line, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class LineHeads(nn.ModuleList):
    """A line in the place of each small network of `cut.PatchHeads`, then length 1."""

    def forward(self, maps: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """(N, C, h, w) and places (S,) for each layer -> (N, S, C) for each layer."""
        return [
            F.normalize(line(patches_at(each, places)), dim=-1)
            for line, each, places in zip(self, maps, positions, strict=True)
        ]


class SmallCUT(CUT):
    """CUT of lines. Its three layers are the picture, the first line and the second line."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.G_AB = Chain(Line(0.9, 0.2), Line(1.2, -0.1))
        self.D_B = Line(-0.8, 0.6, colours=True)
        self.heads = LineHeads([Line(1.0, 0.3), Line(1.4, -0.2), Line(0.8, 0.1)])
        self.taps = (0, 1, 3)

    def __repr__(self) -> str:
        return "a small CUT"


def _pictures(count: int = 1, seed: int = 13) -> tuple[Tensor, Tensor]:
    """Pictures of two rows and three columns: real_A and real_B, each (count, 3, 2, 3)."""
    generator = torch.Generator().manual_seed(seed)
    real_A, real_B = torch.rand(2, count, 3, 2, 3, generator=generator) * 1.8 - 0.9
    return real_A, real_B


def _positions() -> list[Tensor]:
    return [torch.tensor(places) for places in ([4, 0, 3], [1, 5, 2, 0], [2, 3, 5])]


def _drawn(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """real_A, real_B and positions."""
    positions = [torch.tensor(rng.permutation(6)[:size].tolist()) for size in (3, 4, 3)]
    return *_pictures(count, seed=int(rng.integers(2**31))), positions


def _gradient(net: nn.Module) -> Tensor:
    """The gradients of a network's parameters in one row, 0 where there is none."""
    return torch.stack([torch.zeros(()) if p.grad is None else p.grad for p in net.parameters()])


# 13.1 -----------------------------------------------------------------------------------------


def patches_at(features: Tensor, positions: Tensor) -> Tensor:
    """The features of some places of a map.

    The places of a map are numbered row by row: place 0 is the upper left one, place 1 stands to
    its right, and place w begins the second row. Each place holds one feature of C numbers.

    Args:
        features: (N, C, h, w), the maps of N pictures.
        positions: (S,), whole numbers from 0 to h * w - 1, the same for all pictures.

    Returns:
        (N, S, C): for each picture, the features of these places in this order.
    """
    return features.flatten(2)[:, :, positions].transpose(1, 2)


def _patches_at_cases() -> list[tuple]:
    rows, columns = torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij")
    readable = torch.stack([10 * rows + columns, 100 + 10 * rows + columns])[None]
    generator = torch.Generator().manual_seed(1)
    return [
        (readable, torch.tensor([4, 0, 1])),
        (torch.rand(2, 3, 4, 3, generator=generator), torch.tensor([7, 1, 10, 2])),
    ]


def _patches_at_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(count: int) -> tuple:
        channels, height, width = rng.integers([2, 2, 3], [5, 5, 6]).tolist()
        features = torch.from_numpy(rng.random((count, channels, height, width))).float()
        places = rng.permutation(height * width)[: int(rng.integers(4, 7))]
        return features, torch.tensor(places.tolist())

    return [case(1), case(2), case(3)]


def _columns_first(features, positions):
    return patches_at(features.transpose(2, 3), positions)


def _reshapes(features, positions):
    picked = features.flatten(2)[:, :, positions]
    return picked.reshape(len(features), len(positions), -1)


def _views_channels_last(features, positions):
    n, c, h, w = features.shape
    return features.reshape(n, h * w, c)[:, positions]


def _all_in_one_row(features, positions):
    return features.permute(0, 2, 3, 1).flatten(0, 2)[positions]


register(
    Exercise(
        number="13.1",
        title="patches of a map",
        reference=patches_at,
        cases=_patches_at_cases,
        drawn_cases=_patches_at_drawn,
        hints=(
            "Lay the map out first, row after row: features.flatten(2) is (N, C, h * w).",
            "An index in the last dimension picks the places: [:, :, positions] gives (N, C, S).",
            "The channels still stand in the middle: .transpose(1, 2).",
        ),
        mistakes={
            "counts down the columns": Mistake(
                _columns_first,
                "The places are counted down the columns. Place 1 stands to the right of place 0: "
                "the number of a place is row * w + column.",
            ),
            "leaves the channels in the middle": Mistake(
                lambda features, positions: features.flatten(2)[:, :, positions],
                "The places are right, but this is (N, C, S). Each feature should be one row: "
                "exchange the last two dimensions with transpose(1, 2).",
            ),
            "reshapes": Mistake(
                _reshapes,
                "The shape is right, the features are not: reshape only cuts the same numbers "
                "into other rows. To exchange two dimensions take transpose(1, 2).",
            ),
            "takes the map as (h, w, C)": Mistake(
                _views_channels_last,
                "The map is cut as if the C numbers of a place lay next to each other. In "
                "(N, C, h, w) they lie h * w apart: flatten first, pick, then transpose.",
            ),
            "all pictures in one row": Mistake(
                _all_in_one_row,
                "The places of all pictures are laid in one row, so only the first picture is "
                "looked at. Keep the dimension N: every picture gives its own S features.",
            ),
            "takes the first places": Mistake(
                lambda features, positions: patches_at(features, torch.arange(len(positions))),
                "These are the first S places of the map. Take those that `positions` names.",
            ),
            "sorts the places": Mistake(
                lambda features, positions: patches_at(features, positions.sort().values),
                "The places are right, their order is not: row s of the result belongs to "
                "positions[s].",
            ),
        },
    )
)


# 13.2 -----------------------------------------------------------------------------------------


def patch_nce_loss(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """PatchNCE of one layer: find, among S patches of the input, the one at one's own place.

    In each picture, q_s is the feature of the translation at place s, and k_r that of the input at
    place r. The loss is the mean over all places of all pictures of

        -log( exp(q_s . k_s / temperature) / sum over r of exp(q_s . k_r / temperature) )

    Args:
        query: (N, S, C), the q of N pictures, each feature of length 1.
        key: (N, S, C), the k at the same places, each of length 1.
        temperature: divides the likeness of two features; small for a strict choice.

    Returns:
        The mean, a scalar.
    """
    likeness = query @ key.transpose(1, 2) / temperature  # (N, S of the queries, S of the keys)
    own_place = torch.arange(query.shape[1]).repeat(len(query))
    return F.cross_entropy(likeness.flatten(0, 1), own_place)


def _patch_nce_cases() -> list[tuple]:
    angles = torch.tensor([[0.0, 0.5, 1.0], [0.4, 0.2, 1.3]])
    query, key = torch.stack([angles.cos(), angles.sin()], dim=-1)[:, None]
    generator = torch.Generator().manual_seed(2)
    wide = F.normalize(torch.randn(2, 2, 5, 4, generator=generator), dim=-1)
    return [(query, key, 0.5), (*wide, 0.07)]


def _patch_nce_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(count: int) -> tuple:
        shape = 2, count, *rng.integers([3, 3], [8, 6]).tolist()
        features = torch.from_numpy(rng.normal(size=shape)).float()
        return *F.normalize(features, dim=-1), float(rng.uniform(0.07, 0.5))

    return [case(1), case(2), case(3)]


def _run_patch_nce(answer: Callable, query: Tensor, key: Tensor, temperature: float):
    raw = query.clone().requires_grad_()
    # As in training: of length 1 after the normalising, so an answer may normalise once more.
    loss = answer(F.normalize(raw, dim=-1), key, temperature)
    if is_blank(loss):
        return loss
    trains = isinstance(loss, Tensor) and loss.requires_grad and loss.numel() == 1
    gradient = torch.autograd.grad(loss.sum(), raw)[0] if trains else None
    return {"loss": loss, "gradient of the queries": "none" if gradient is None else gradient}


def _likeness(query, key, temperature):
    return query @ key.transpose(1, 2) / temperature


def _own(values: Tensor) -> Tensor:
    return values.diagonal(dim1=1, dim2=2)


def _nce(query, key, temperature, **settings):
    likeness = _likeness(query, key, temperature)
    own_place = torch.arange(query.shape[1]).repeat(len(query))
    return F.cross_entropy(likeness.flatten(0, 1), own_place, **settings)


def _always_place_zero(query, key, temperature=0.07):
    likeness = _likeness(query, key, temperature).flatten(0, 1)
    return F.cross_entropy(likeness, torch.zeros(len(likeness), dtype=torch.long))


def _negatives_of_other_pictures(query, key, temperature=0.07):
    return patch_nce_loss(query.flatten(0, 1)[None], key.flatten(0, 1)[None], temperature)


def _logarithm_of_the_mean(query, key, temperature=0.07):
    return -_own(_likeness(query, key, temperature).softmax(dim=2)).mean().log()


def _softmax_twice(query, key, temperature=0.07):
    shares = _likeness(query, key, temperature).softmax(dim=2)
    return F.cross_entropy(shares.flatten(0, 1), torch.arange(shares.shape[1]).repeat(len(shares)))


def _without_its_own(query, key, temperature=0.07):
    likeness = _likeness(query, key, temperature)
    others = likeness.masked_fill(torch.eye(likeness.shape[1], dtype=torch.bool), -torch.inf)
    return (others.logsumexp(dim=2) - _own(likeness)).mean()


register(
    Exercise(
        number="13.2",
        title="PatchNCE",
        reference=patch_nce_loss,
        cases=_patch_nce_cases,
        drawn_cases=_patch_nce_drawn,
        run=_run_patch_nce,
        hints=(
            "Every query against every key of its own picture: query @ key.transpose(1, 2) is "
            "(N, S, S), with the queries in its rows.",
            "This is a classification with S classes: the right class of row s is s. "
            "F.cross_entropy takes the logarithm and the softmax, and the mean.",
            "F.cross_entropy wants (rows, classes): likeness.flatten(0, 1), and as classes "
            "torch.arange(S).repeat(N).",
        ),
        mistakes={
            "keys ask, queries answer": Mistake(
                lambda query, key, temperature=0.07: patch_nce_loss(key, query, temperature),
                "The sum runs over the queries instead of the keys. Each patch of the translation "
                "has to choose among the patches of the input. F.cross_entropy takes dimension 1 "
                "of a tensor (N, S, S) as the classes: flatten it to (N * S, S) before.",
            ),
            "no temperature": Mistake(
                lambda query, key, temperature=0.07: patch_nce_loss(query, key, 1.0),
                "The temperature is missing. Features of length 1 have a likeness of at most 1, "
                "and a softmax of such numbers can never be sure: divide them by the temperature.",
            ),
            "multiplies by the temperature": Mistake(
                lambda query, key, temperature=0.07: patch_nce_loss(query, key, 1 / temperature),
                "The likeness is multiplied by the temperature. Divide by it: small temperatures "
                "enlarge differences.",
            ),
            "always place 0": Mistake(
                _always_place_zero,
                "Every patch is sent to place 0. That is right where the own patch was put first; "
                "here it stands on the diagonal, so the class of row s is s: torch.arange(S).",
            ),
            "negatives of other pictures": Mistake(
                _negatives_of_other_pictures,
                "The patches of all pictures of the batch compete with each other. Other patches "
                "are those of the same picture: keep the dimension N in the product.",
            ),
            "adds instead of averaging": Mistake(
                lambda query, key, temperature=0.07: _nce(query, key, temperature, reduction="sum"),
                "The patches are added. Take the mean, so that the weight of the term does not "
                "depend on how many patches are drawn.",
            ),
            "logarithm of the mean": Mistake(
                _logarithm_of_the_mean,
                "The shares are averaged first, and then comes the logarithm. Each patch has its "
                "own logarithm: a patch that is quite wrong should cost much, whatever the others "
                "do.",
            ),
            "softmax twice": Mistake(
                _softmax_twice,
                "A softmax is taken before F.cross_entropy, which takes one itself. Give it the "
                "likeness as it is.",
            ),
            "leaves its own patch out": Mistake(
                _without_its_own,
                "The sum leaves the patch's own place out, so the fraction is no share and the "
                "loss can fall below 0. r runs over all places.",
            ),
            "pulls without pushing": Mistake(
                lambda query, key, temperature=0.07: (
                    -_own(_likeness(query, key, temperature)).mean()
                ),
                "Only the likeness to the own patch counts. If all features were equal, this would "
                "be at its best: what is missing is the sum over the other patches.",
            ),
            "no minus": Mistake(
                lambda query, key, temperature=0.07: -patch_nce_loss(query, key, temperature),
                "The sign is turned over: this becomes smaller the worse the own patch is found.",
            ),
            "a plain number": Mistake(
                lambda query, key, temperature=0.07: patch_nce_loss(
                    query, key, temperature
                ).detach(),
                "The value is right, but no gradient comes back to the queries, so it trains "
                "nothing. Return the tensor without item() or detach().",
            ),
        },
    )
)


# 13.3 -----------------------------------------------------------------------------------------


def nce_between(
    model: CUT,
    real: Tensor,
    made: Tensor,
    positions: Sequence[Tensor],
    temperature: float = 0.07,
) -> Tensor:
    """PatchNCE between pictures and what the generator made of them.

    `encode(model.G_AB, x, model.taps)` gives the maps of x, one for each layer, and
    `model.heads(maps, positions)` their features at some places, (N, S, C) for each layer, of
    length 1. The queries are the features of `made`, the keys those of `real` at the same places.
    The translation is to become like the input, and never the other way round: no gradient goes
    through the keys, neither into the heads nor into the generator.

    Args:
        model: with the generator G_AB, the heads, and the taps (which layers are compared).
        real: (N, 3, H, W), the input pictures.
        made: (N, 3, H, W), `model.G_AB(real)`.
        positions: (S,) for each layer.

    Returns:
        The mean of `patch_nce_loss` over the layers, a scalar.
    """
    queries = model.heads(encode(model.G_AB, made, model.taps), positions)
    keys = model.heads(encode(model.G_AB, real, model.taps), positions)
    layers = [
        patch_nce_loss(query, key.detach(), temperature)
        for query, key in zip(queries, keys, strict=True)
    ]
    return torch.stack(layers).mean()


def _nce_between_cases() -> list[tuple]:
    return [(SmallCUT(), _pictures()[0], _positions(), 0.2)]


def _nce_between_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(count: int) -> tuple:
        real, _, positions = _drawn(rng, count)
        return SmallCUT(), real, positions, float(rng.uniform(0.1, 0.4))

    return [case(1), case(2)]


def _run_nce_between(
    answer: Callable, model: CUT, real: Tensor, positions: list[Tensor], temperature: float
):
    """The value, and where its gradient arrives."""
    made = model.G_AB(real)
    made.retain_grad()
    loss = answer(model, real, made, positions, temperature)
    if is_blank(loss):
        return loss
    if isinstance(loss, Tensor) and loss.requires_grad:
        loss.backward()
    return {
        "loss": loss,
        "gradient of the translation": torch.zeros_like(made) if made.grad is None else made.grad,
        "gradient of G_AB": _gradient(model.G_AB),
        "gradient of the heads": _gradient(model.heads),
    }


def _between(
    *,
    query: Callable = lambda q: q,
    key: Callable = Tensor.detach,
    maps_of_made: Callable = lambda x: x,
    maps_of_real: Callable = lambda x: x,
    made_as: Callable = lambda made: made,
    real_as: Callable = lambda real, made: real,
    swap: bool = False,
    places_of_keys: Callable = lambda p: p,
    whole: Callable = lambda layers: torch.stack(layers).mean(),
) -> Callable:
    """`nce_between` with one fault."""

    def wrong(model, real, made, positions, temperature=0.07):
        def features(x, change, places):
            maps = [change(each) for each in encode(model.G_AB, x, model.taps)]
            return model.heads(maps, places)

        queries = features(made_as(made), maps_of_made, positions)
        other = [places_of_keys(places) for places in positions]
        keys = features(real_as(real, made), maps_of_real, other)
        pairs = [(query(q), key(k)) for q, k in zip(queries, keys, strict=True)]
        return whole([patch_nce_loss(*pair[:: -1 if swap else 1], temperature) for pair in pairs])

    return wrong


def _keep(x: Tensor) -> Tensor:
    return x


def _without_heads(model, real, made, positions, temperature=0.07):
    def features(x):
        maps = encode(model.G_AB, x, model.taps)
        pairs = zip(maps, positions, strict=True)
        return [F.normalize(patches_at(*pair), dim=-1) for pair in pairs]

    pairs = zip(features(made), features(real), strict=True)
    return torch.stack([patch_nce_loss(q, k.detach(), temperature) for q, k in pairs]).mean()


register(
    Exercise(
        number="13.3",
        title="which side learns",
        reference=nce_between,
        cases=_nce_between_cases,
        drawn_cases=_nce_between_drawn,
        run=_run_nce_between,
        hints=(
            "Write one line for the queries, from `made`, and the same line for the keys, from "
            "`real`: model.heads(encode(model.G_AB, ..., model.taps), positions).",
            "Both are lists with an entry for each layer. zip(queries, keys, strict=True) pairs "
            "them; key.detach() keeps the gradient out of a key.",
            "torch.stack([patch_nce_loss(query, key.detach(), temperature) for ...]).mean()",
        ),
        mistakes={
            "gradient into the keys": Mistake(
                _between(key=_keep),
                "The value is right, but the gradient also flows into the keys. Then the input's "
                "features are pulled towards the translation as well, and the two can meet at "
                "something that says little about the picture. Use key.detach().",
            ),
            "detaches the queries": Mistake(
                _between(query=Tensor.detach, key=_keep),
                "The wrong side is detached: no gradient reaches the translation, and the "
                "input's features learn to be like whatever was made. Detach the keys.",
            ),
            "detaches both": Mistake(
                _between(query=Tensor.detach),
                "Queries and keys are both detached, so this trains nothing at all. Leave the "
                "queries as they are.",
            ),
            "detaches before the heads": Mistake(
                _between(key=_keep, maps_of_real=Tensor.detach),
                "The maps of the input are detached, but not what the heads make of them: the "
                "heads still learn from the keys. Detach after the heads.",
            ),
            "detaches the translation": Mistake(
                _between(made_as=Tensor.detach),
                "`made` is detached: the generator still learns as an encoder, but nothing tells "
                "it to translate in another way.",
            ),
            "detaches the maps of the translation": Mistake(
                _between(maps_of_made=Tensor.detach),
                "The maps of the translation are detached, so only the heads learn. The gradient "
                "has to go on through `encode` and `made` into the generator.",
            ),
            "swaps queries and keys": Mistake(
                _between(swap=True),
                "The arguments of patch_nce_loss are swapped: here each patch of the input "
                "chooses among those of the translation. The query comes first.",
            ),
            "compares the translation with itself": Mistake(
                _between(real_as=lambda real, made: made),
                "Queries and keys are both features of `made`. The keys come from the input, "
                "`real`.",
            ),
            "asks the input": Mistake(
                _between(
                    made_as=lambda made: made,
                    real_as=lambda real, made: real,
                    swap=True,
                    query=Tensor.detach,
                    key=_keep,
                ),
                "The queries are features of the input and the keys those of the translation. It "
                "is the translation that has to answer: queries from `made`, keys from `real`.",
            ),
            "other places": Mistake(
                _between(places_of_keys=lambda places: places.flip(0)),
                "Queries and keys are taken at different places, so that no patch has its own one "
                "among the keys. Use the same positions, in the same order, for both.",
            ),
            "adds the layers": Mistake(
                _between(whole=sum),
                "The layers are added. Take their mean, so that the weight of the term does not "
                "depend on the number of layers.",
            ),
            "only the last layer": Mistake(
                _between(whole=lambda layers: layers[-1]),
                "Only the last layer counts: is there a `return` inside the loop, or one loss that "
                "is overwritten? Keep all of them, and take the mean.",
            ),
            "leaves the heads out": Mistake(
                _without_heads,
                "The maps are compared as they are. The adversarial term needs them to hold the "
                "look of a picture too; the heads learn to leave that out. Send both sides through "
                "model.heads.",
            ),
        },
    )
)


# 13.4 -----------------------------------------------------------------------------------------


def cut_terms(
    model: CUT,
    real_A: Tensor,
    real_B: Tensor,
    positions: Sequence[Tensor],
    lambda_nce: float = 1.0,
    lambda_nce_identity: float = 1.0,
) -> tuple[dict[str, Tensor], Tensor]:
    """Everything that the generator and the heads of CUT minimise.

    Use `generator_loss` and `nce_between`.

    Args:
        model: holds G_AB, D_B and the heads.
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        positions: (S,) for each layer, used for both PatchNCE terms.
        lambda_nce, lambda_nce_identity: weights of those terms.

    Returns:
        Three terms, scalars, already weighted, by these names and in this order: "G_AB", the
        adversarial term; "nce_A", a picture of A against its translation; "nce_B", the identity
        term, a picture of B against what G_AB makes of it. Then fake_B, (N, 3, H, W).
    """
    fake_B, idt_B = model.G_AB(real_A), model.G_AB(real_B)
    terms = {
        "G_AB": generator_loss(model.D_B(fake_B)),
        "nce_A": lambda_nce * nce_between(model, real_A, fake_B, positions),
        "nce_B": lambda_nce_identity * nce_between(model, real_B, idt_B, positions),
    }
    return terms, fake_B


def _cut_terms_cases() -> list[tuple]:
    return [
        (SmallCUT(), *_pictures(), _positions(), 1.0, 1.0),
        (SmallCUT(), *_pictures(), _positions(), 3.0, 0.5),
    ]


def _cut_terms_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(count: int) -> tuple:
        weights = rng.uniform([1.5, 0.3], [4.0, 0.8]).tolist()
        return SmallCUT(), *_drawn(rng, count), *weights

    return [case(1), case(2)]


def _run_cut_terms(answer: Callable, model: CUT, *inputs):
    found = answer(model, *inputs)
    if is_blank(found):
        return found
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError("return two things: the dictionary of the terms, and fake_B")
    terms, fake_B = found
    sum(terms.values()).backward()
    return {
        "terms": terms,
        "fake_B": fake_B,
        "gradient of G_AB": _gradient(model.G_AB),
        "gradient of the heads": _gradient(model.heads),
    }


def _with_terms(**changed: Callable) -> Callable:
    """`cut_terms` with some terms made in another way, each from (model, a, b, positions)."""

    def wrong(model, real_A, real_B, positions, lambda_nce=1.0, lambda_nce_identity=1.0):
        terms, fake_B = cut_terms(model, real_A, real_B, positions, lambda_nce, lambda_nce_identity)
        weights = {"nce_A": lambda_nce, "nce_B": lambda_nce_identity}
        for name, make in changed.items():
            terms[name] = weights.get(name, 1.0) * make(model, real_A, real_B, positions)
        return terms, fake_B

    return wrong


def _weighted(weights: Callable[[float, float], tuple[float, float]]) -> Callable:
    """`cut_terms` with the two weights changed."""

    def wrong(model, real_A, real_B, positions, lambda_nce=1.0, lambda_nce_identity=1.0):
        changed = weights(lambda_nce, lambda_nce_identity)
        return cut_terms(model, real_A, real_B, positions, *changed)

    return wrong


register(
    Exercise(
        number="13.4",
        title="the terms of CUT",
        reference=cut_terms,
        cases=_cut_terms_cases,
        drawn_cases=_cut_terms_drawn,
        run=_run_cut_terms,
        hints=(
            "One generator makes two pictures: fake_B from real_A, and idt_B from real_B. Only "
            "one of them is shown to the discriminator.",
            '"G_AB" is generator_loss(model.D_B(fake_B)). Each PatchNCE term compares a picture '
            "with what was made of it: nce_between(model, the picture, what was made, positions).",
            '"nce_B" is lambda_nce_identity * nce_between(model, real_B, idt_B, positions).',
        ),
        mistakes={
            "shows the identity to the discriminator": Mistake(
                _with_terms(
                    G_AB=lambda m, a, b, p: generator_loss(
                        torch.cat([m.D_B(m.G_AB(a)), m.D_B(m.G_AB(b))])
                    )
                ),
                "The discriminator also judges idt_B. That picture was of domain B from the "
                "start, so there is nothing to learn from it: the identity picture goes to no "
                "discriminator.",
            ),
            "shows the real picture": Mistake(
                _with_terms(G_AB=lambda m, a, b, p: generator_loss(m.D_B(b))),
                "The adversarial term looks at real_B, in which the generator has no part. It "
                "looks at fake_B.",
            ),
            "shows only the identity": Mistake(
                _with_terms(G_AB=lambda m, a, b, p: generator_loss(m.D_B(m.G_AB(b)))),
                "The adversarial term looks at idt_B. It looks at the translation, fake_B.",
            ),
            "detaches the fake": Mistake(
                _with_terms(G_AB=lambda m, a, b, p: generator_loss(m.D_B(m.G_AB(a).detach()))),
                "fake_B is detached before the discriminator sees it. Here the gradient has to go "
                "through the discriminator into the generator; only the discriminator's own loss "
                "takes a detached fake.",
            ),
            "identity of A": Mistake(
                _with_terms(nce_B=lambda m, a, b, p: nce_between(m, a, m.G_AB(a), p)),
                '"nce_B" is the same as "nce_A". The identity term asks what G_AB does to a '
                "picture that is of domain B already: real_B and model.G_AB(real_B).",
            ),
            "compares the fake with real_B": Mistake(
                _with_terms(nce_B=lambda m, a, b, p: nce_between(m, b, m.G_AB(a), p)),
                '"nce_B" compares fake_B with real_B. They are no pair: their places have '
                "nothing to do with each other. Compare real_B with what was made of it.",
            ),
            "compares the identity with real_A": Mistake(
                _with_terms(nce_B=lambda m, a, b, p: nce_between(m, a, m.G_AB(b), p)),
                '"nce_B" compares idt_B with real_A. Compare it with the picture that it was made '
                "from, real_B.",
            ),
            "translates the fake again": Mistake(
                _with_terms(nce_B=lambda m, a, b, p: nce_between(m, m.G_AB(a), _twice(m, a), p)),
                "The identity term is taken of fake_B, sent through G_AB once more. It is about "
                "real pictures of B: fake_B may still be a bad one.",
            ),
            "identity pixel by pixel": Mistake(
                _with_terms(nce_B=lambda m, a, b, p: F.l1_loss(m.G_AB(b), b)),
                "This is CycleGAN's identity loss, the mean difference of the pixels. CUT's is "
                "PatchNCE once more: nce_between(model, real_B, idt_B, positions).",
            ),
            "swaps what was made and what came in": Mistake(
                _with_terms(
                    nce_A=lambda m, a, b, p: nce_between(m, m.G_AB(a), a, p),
                    nce_B=lambda m, a, b, p: nce_between(m, m.G_AB(b), b, p),
                ),
                "nce_between takes the real picture first, then what was made of it. Swapped, the "
                "translation is detached as a key, and only the input is asked to change.",
            ),
            "forgets the weights": Mistake(
                _weighted(lambda a, b: (1.0, 1.0)),
                "The weights are missing: multiply the PatchNCE terms by lambda_nce and "
                "lambda_nce_identity.",
            ),
            "swaps the weights": Mistake(
                _weighted(lambda a, b: (b, a)),
                'The weights are swapped: lambda_nce belongs to "nce_A".',
            ),
            "one weight for both": Mistake(
                _weighted(lambda a, b: (a, a)),
                "Both terms have the weight lambda_nce. The identity term has its own, "
                "lambda_nce_identity.",
            ),
            "weights identity twice": Mistake(
                _weighted(lambda a, b: (a, a * b)),
                "The identity term is multiplied by both weights. In this objective it has one of "
                "its own, lambda_nce_identity.",
            ),
        },
    )
)


def _twice(model: CUT, real_A: Tensor) -> Tensor:
    return model.G_AB(model.G_AB(real_A))


# 13.5 -----------------------------------------------------------------------------------------


def least_changes(p_A: float, p_B: float) -> tuple[float, float]:
    """How much a translator has to invent or remove, if its domains are out of balance.

    A share p_A of the pictures of domain A shows a feature (a sun, a tumour), and a share p_B of
    those of domain B. The discriminator is content only if the translations of A show it as often
    as domain B does. What is the least that a translator can do to reach that?

    Args:
        p_A, p_B: shares from 0 to 1.

    Returns:
        (invented, removed): the share of the pictures *without* the feature that have to be given
        it, and the share of the pictures *with* it that have to lose it, each from 0 to 1. Where
        there are no such pictures, the share is 0.
    """
    if p_B > p_A:
        return (p_B - p_A) / (1 - p_A), 0.0
    if p_B < p_A:
        return 0.0, (p_A - p_B) / p_A
    return 0.0, 0.0


def _least_changes_cases() -> list[tuple]:
    shares = [(0.2, 0.6), (0.5, 1.0), (0.8, 0.2), (0.5, 0.0), (0.3, 0.3), (0.0, 0.25), (1.0, 1.0)]
    return [*shares, (0.0, 0.0), (1.0, 0.4), (0.0, 1.0)]


def _least_changes_drawn(rng: np.random.Generator) -> list[tuple]:
    (low, high), *more = np.sort(rng.uniform(0.05, 0.95, (3, 2))).tolist()
    (least, some), (same, _) = more
    return [(low, high), (high, low), (some, least), (same, same), (0.0, some), (1.0, least)]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _least(
    invented: Callable[[float, float], float], removed: Callable[[float, float], float]
) -> Callable:
    """Two shares from (p_A, p_B), each kept at 0 or above."""
    return lambda p_A, p_B: (max(0.0, invented(p_A, p_B)), max(0.0, removed(p_A, p_B)))


register(
    Exercise(
        number="13.5",
        title="what balance demands",
        reference=least_changes,
        cases=_least_changes_cases,
        drawn_cases=_least_changes_drawn,
        hints=(
            "Think of 100 pictures of A, p_A = 0.2 and p_B = 0.6. How many show the feature, how "
            "many should, and how many are there to be changed?",
            "40 pictures have to be given it, out of the 80 that lack it: (p_B - p_A) / (1 - p_A).",
            "Nobody has to lose it then. Where p_B < p_A it is the other way round: "
            "(p_A - p_B) / p_A lose it. Three cases: larger, smaller, equal.",
        ),
        mistakes={
            "share of all pictures": Mistake(
                _least(lambda a, b: b - a, lambda a, b: a - b),
                "This is the share of *all* pictures. Asked is the share of those that can be "
                "changed: of the 1 - p_A without the feature, or of the p_A with it.",
            ),
            "negative shares": Mistake(
                lambda p_A, p_B: (_share(p_B - p_A, 1 - p_A), _share(p_A - p_B, p_A)),
                "One of the two shares is below 0. What has to be invented need not be removed: "
                "that share is 0.",
            ),
            "divides by the target's share": Mistake(
                _least(lambda a, b: _share(b - a, b), lambda a, b: _share(a - b, 1 - b)),
                "This divides by the pictures as they should come out. The translator changes the "
                "pictures as they come in: divide by the 1 - p_A that lack the feature, or by the "
                "p_A that show it.",
            ),
            "divides by the wrong part": Mistake(
                _least(lambda a, b: _share(b - a, a), lambda a, b: _share(a - b, 1 - a)),
                "Invented features go to the pictures that have none, and those are 1 - p_A, not "
                "p_A. For removed ones it is the other way round.",
            ),
            "draws the feature anew": Mistake(
                lambda p_A, p_B: (
                    p_B if p_A < 1 else 0.0,
                    1 - p_B if p_A > 0 else 0.0,
                ),
                "This translator ignores the input and draws the feature anew, with the share of "
                "domain B. That pleases the discriminator too, but it changes more than it must. "
                "Asked is the least.",
            ),
            "the other way round": Mistake(
                lambda p_A, p_B: least_changes(p_A, p_B)[::-1],
                "The two shares are swapped: where domain B shows the feature more often, it has "
                "to be invented. The first share is the invented one.",
            ),
            "from B to A": Mistake(
                lambda p_A, p_B: least_changes(p_B, p_A),
                "This is the translator from B to A. Here the pictures of A come in.",
            ),
            "never removes": Mistake(
                lambda p_A, p_B: (least_changes(p_A, p_B)[0], 0.0),
                "Where domain B shows the feature more seldom, something has to vanish: "
                "(p_A - p_B) / p_A of the pictures that show it.",
            ),
        },
    )
)
