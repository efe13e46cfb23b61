"""Chapter 3 in a real browser."""

from .chapter import Chapter


class TestChapter03(Chapter):
    stem = "03_resnet_generator"
    figures = 1
    exercise = "3.1"
    mistake = "replicates"
    attempt = """
def reflect_pad(x, pad):
    return nn.functional.pad(x, (pad, pad, pad, pad), mode="replicate")
"""
