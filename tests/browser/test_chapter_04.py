"""Chapter 4 in a real browser."""

from .chapter import Chapter


class TestChapter04(Chapter):
    stem = "04_cycle_consistency"
    figures = 1
    exercise = "4.1"
    mistake = "counts"
    attempt = """
def share_right(fake_B, centres_B, clump):
    nearest = torch.cdist(fake_B, centres_B).argmin(dim=1)
    return (nearest == clump).float().sum().item()
"""
