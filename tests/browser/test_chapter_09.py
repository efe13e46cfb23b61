"""Chapter 9 in a real browser."""

from .chapter import Chapter


class TestChapter09(Chapter):
    stem = "09_find_the_bugs"
    figures = 1
    exercise = "9.1"
    mistake = "at least"
    attempt = """
def sees_exactly(make_discriminator, pixels):
    net = make_discriminator(norm=lambda channels: nn.Identity())
    picture = torch.randn(1, 3, 3 * pixels, 3 * pixels, requires_grad=True)
    scores = net(picture)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    seen = picture.grad[0].abs().sum(dim=0) > 0
    return bool(seen.any(dim=1).sum() >= pixels and seen.any(dim=0).sum() >= pixels)
"""
