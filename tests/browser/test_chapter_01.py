"""Chapter 1 in a real browser."""

from .chapter import Chapter


class TestChapter01(Chapter):
    stem = "01_adversarial_loss"
    figures = 1
    exercise = "1.1"
    mistake = "share of the fakes"
    attempt = """
def optimal_discriminator(p_data, p_g):
    return p_g / (p_data + p_g)
"""
