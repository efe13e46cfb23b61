"""Chapter 5 in a real browser."""

from .chapter import Chapter


class TestChapter05(Chapter):
    stem = "05_training_a_cyclegan"
    figures = 1
    exercise = "5.5"
    mistake = "falls from the start"
    attempt = """
def lr_factor(step, steps):
    return 1 - step / steps
"""
