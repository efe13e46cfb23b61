"""Chapter 11 in a real browser."""

from .chapter import Chapter


class TestChapter11(Chapter):
    stem = "11_your_own_pictures"
    figures = 0
    exercise = "11.1"
    mistake = "takes 255 for white"
    attempt = """
def unit_range(pixels):
    return (pixels / 127.5 - 1).astype(np.float32)
"""
