"""Chapter 8 in a real browser."""

from .chapter import Chapter


class TestChapter08(Chapter):
    stem = "08_experiments"
    figures = 2
    exercise = "8.1"
    mistake = "takes 1.96"
    attempt = """
def paired_difference(one, other):
    d = [one[seed] - other[seed] for seed in one]
    reach = 1.96 * stdev(d) / math.sqrt(len(d))
    return mean(d), mean(d) - reach, mean(d) + reach
"""
