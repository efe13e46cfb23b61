"""Exercises of chapter 0: pictures as numbers."""

import numpy as np

from cyclegan_course.exercises.registry import Exercise, Mistake, register

# 0.1 ------------------------------------------------------------------------------------------


def to_unit_range(picture: np.ndarray) -> np.ndarray:
    """Turn the 8-bit numbers of a picture into the range that the networks work in.

    Args:
        picture: uint8, any shape, 0 (black) to 255 (white).

    Returns:
        float32, the same shape, -1 (black) to 1 (white).
    """
    return picture.astype(np.float32) / 127.5 - 1


def _to_unit_range_cases() -> list[tuple]:
    return [
        (np.array([0, 51, 204, 255], dtype=np.uint8),),
        (np.arange(256, dtype=np.uint8).reshape(8, 8, 4)[..., :3],),
    ]


def _to_unit_range_drawn(rng: np.random.Generator) -> list[tuple]:
    shapes = [rng.integers(4, 12, 1), (*rng.integers(3, 9, 2), 3)]
    return [(rng.integers(0, 256, shape, dtype=np.uint8),) for shape in shapes]


def _divides_by_255_only(picture):
    return picture / 255


def _doubles_without_shift(picture):
    return picture.astype(np.float32) / 127.5


def _divides_by_128(picture):
    return picture.astype(np.float32) / 128 - 1


def _computes_in_8_bits(picture):
    return (picture * 2 - 255).astype(np.float32) / 255


def _converts_at_the_end(picture):
    return (picture // 128).astype(np.float32) * 2 - 1


register(
    Exercise(
        number="0.1",
        title="to the range [-1, 1]",
        reference=to_unit_range,
        cases=_to_unit_range_cases,
        drawn_cases=_to_unit_range_drawn,
        hints=(
            "0 has to become -1 and 255 has to become 1. Which straight line does that?",
            "The line rises by 2 over 255 steps, so divide by 127.5. Then shift.",
            "8-bit numbers cannot be negative: picture.astype(np.float32) comes first.",
        ),
        mistakes={
            "divides by 255 only": Mistake(
                _divides_by_255_only,
                "Dividing by 255 gives the range from 0 to 1. Black has to become -1: stretch the "
                "range to twice its length and shift it by -1.",
            ),
            "does not shift": Mistake(
                _doubles_without_shift,
                "The range has the right length, but goes from 0 to 2. Shift it by -1.",
            ),
            "divides by 128": Mistake(
                _divides_by_128,
                "Dividing by 128 maps white to 0.992, not to 1. The middle between 0 and 255 is "
                "127.5.",
            ),
            "computes in 8 bits": Mistake(
                _computes_in_8_bits,
                "The arithmetic runs in 8-bit integers, which wrap around at 256: 255 * 2 becomes "
                "254. Convert with astype(np.float32) before you compute.",
            ),
            "divides integers": Mistake(
                _converts_at_the_end,
                "The operator // divides integers and drops the rest, so only black and white are "
                "left. Convert with astype(np.float32) first and divide with /.",
            ),
        },
    )
)


# 0.2 ------------------------------------------------------------------------------------------


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """Turn what a network returns back into a picture that can be shown and saved.

    Args:
        values: float32, any shape. Meant to lie in [-1, 1], but some may lie a little outside.

    Returns:
        uint8, the same shape: -1 becomes 0 and 1 becomes 255, rounded to the nearest number.
        What lies below -1 becomes 0, what lies above 1 becomes 255.
    """
    scaled = (values + 1) * 127.5
    return np.round(scaled).clip(0, 255).astype(np.uint8)


def _to_8_bit_cases() -> list[tuple]:
    return [
        (np.array([-1.0, -0.3, 0.21, 0.6, 1.0], dtype=np.float32),),
        (np.array([-1.2, -1.01, 1.01, 1.3], dtype=np.float32),),
        (np.linspace(-1.05, 1.05, 300, dtype=np.float32).reshape(10, 10, 3),),
    ]


def _to_8_bit_drawn(rng: np.random.Generator) -> list[tuple]:
    shapes = [rng.integers(6, 12, 1), (*rng.integers(4, 9, 2), 3)]
    # Never half-way between two numbers: there, the last digit of a float decides.
    levels = [rng.integers(-25, 281, s) + rng.uniform(-0.4, 0.4, s) for s in shapes]
    return [((level / 127.5 - 1).astype(np.float32),) for level in levels]


def _wrap(values: np.ndarray) -> np.ndarray:
    """To 8 bits as most processors do it for small integers: whole number, modulo 256."""
    return values.astype(np.int64).astype(np.uint8)


def _truncates(values):
    return ((values + 1) * 127.5).clip(0, 255).astype(np.uint8)


def _does_not_clip(values):
    return _wrap(np.round((values + 1) * 127.5))


def _truncates_and_does_not_clip(values):
    return _wrap((values + 1) * 127.5)


def _forgets_the_shift(values):
    return np.round(values * 255).clip(0, 255).astype(np.uint8)


def _multiplies_by_255(values):
    return np.round((values + 1) * 255).clip(0, 255).astype(np.uint8)


register(
    Exercise(
        number="0.2",
        title="back to 8 bits",
        reference=to_8_bit,
        cases=_to_8_bit_cases,
        drawn_cases=_to_8_bit_drawn,
        hints=(
            "Undo the steps of 0.1 in reverse order: shift first, then stretch.",
            "astype(np.uint8) cuts off what follows the decimal point. np.round comes before it.",
            "np.clip(x, 0, 255) keeps everything in the range of 8 bits. It comes before astype.",
        ),
        mistakes={
            "truncates": Mistake(
                _truncates,
                "astype(np.uint8) cuts off what follows the decimal point: 199.9 becomes 199, so "
                "every picture gets a little darker. Round first with np.round.",
            ),
            "does not clip": Mistake(
                _does_not_clip,
                "8-bit numbers wrap around: 256 becomes 0, so the brightest spots turn black. Use "
                "np.clip before astype.",
            ),
            "truncates and does not clip": Mistake(
                _truncates_and_does_not_clip,
                "Two steps are missing before astype: np.round, which would cut off what follows "
                "the decimal point, and np.clip, without which 256 wraps around to 0.",
            ),
            "forgets the shift": Mistake(
                _forgets_the_shift,
                "-1 has to become 0, so add 1 first. Without the shift everything darker than "
                "middle grey turns black.",
            ),
            "multiplies by 255": Mistake(
                _multiplies_by_255,
                "After the shift the range goes from 0 to 2, so multiply by 127.5. With 255 "
                "everything brighter than middle grey turns white.",
            ),
        },
    )
)
