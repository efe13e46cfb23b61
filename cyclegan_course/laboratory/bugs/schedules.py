"""Schedules of the learning rate with a fault. Same call as `recipe.reference_schedule`."""


def below_zero(step: int, steps: int) -> float:
    """The decay is as long as a quarter of the run, and nothing stops it at 0.

    In the last quarter the factor is negative: the networks climb up their losses.
    """
    half, decay = steps // 2, steps // 4
    return 1.0 - max(0, step - half) / decay


def off_by_one(step: int, steps: int) -> float:
    """Steps counted from 1: the decay begins one step early, and the last step has rate 0."""
    return min(1.0, 2.0 * (1.0 - (step + 1) / steps))
