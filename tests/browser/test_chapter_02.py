"""Chapter 2 in a real browser."""

from .chapter import Chapter


class TestChapter02(Chapter):
    stem = "02_patchgan_discriminator"
    figures = 1
    exercise = "2.1"
    mistake = "rounds up"
    attempt = """
def output_size(size, kernel, stride, padding):
    return -(-(size + 2 * padding - kernel) // stride) + 1
"""
