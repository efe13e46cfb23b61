"""Chapter 0 in a real browser."""

from .chapter import Chapter


class TestChapter00(Chapter):
    stem = "00_start_here"
    figures = 2
    exercise = "0.1"
    mistake = "divides by 255 only"
    attempt = """
def to_unit_range(picture):
    return picture / 255
"""
