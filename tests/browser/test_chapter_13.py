"""Chapter 13 in a real browser."""

from .chapter import Chapter


class TestChapter13(Chapter):
    stem = "13_after_cyclegan"
    figures = 2
    exercise = "13.1"
    mistake = "leaves the channels in the middle"
    attempt = """
def patches_at(features, positions):
    return features.flatten(2)[:, :, positions]
"""
