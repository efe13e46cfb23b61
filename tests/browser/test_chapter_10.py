"""Chapter 10 in a real browser."""

from .chapter import Chapter


class TestChapter10(Chapter):
    stem = "10_five_applications"
    figures = 1
    exercise = "10.1"
    mistake = "turns the curve"
    attempt = """
def fitted_curves(source, reference, knots):
    shares, levels = np.linspace(0, 1, knots), np.linspace(-1, 1, 256)
    curves = []
    for c in range(3):
        old = np.quantile(source[:, c].numpy(), shares)
        new = np.quantile(reference[:, c].numpy(), shares)
        curves.append(np.interp(levels, new, old))
    return np.stack(curves)
"""
