"""Chapter 7 in a real browser."""

from .chapter import Chapter


class TestChapter07(Chapter):
    stem = "07_measuring_translation"
    figures = 2
    exercise = "7.1"
    mistake = "uses the natural logarithm"
    attempt = """
def psnr(fake, truth, data_range):
    error = (fake - truth).square().mean(dim=(1, 2, 3))
    return 10 * torch.log(data_range**2 / error)
"""
