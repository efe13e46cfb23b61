"""Measuring translation against the sealed truth.

Two questions, two kinds of number:

- *Is it the right picture?* `psnr`, `ssim` and `l1` compare a translation with its own truth. Exact
  brush strokes or stars cannot be learned from unpaired pictures, so each is also taken after a
  `blur`, which leaves the content and drops the details.
- *Does it look like the other domain?* `sliced_wasserstein` compares two sets of pictures, with no
  pairing at all.

`reinhard` is the baseline to beat: a colour transfer that has learned nothing.

Everywhere a set of pictures is a float tensor (N, 3, H, W), RGB, in [-1, 1]. Anything else (another
shape, a value out of range, NaN) raises `CourseError`.
"""

from cyclegan_course.metrics.baselines import reinhard
from cyclegan_course.metrics.evaluation import evaluate_translation, evaluate_unpaired, measure
from cyclegan_course.metrics.fidelity import PSNR_CEILING, blur, l1, psnr, ssim
from cyclegan_course.metrics.table import Row, format_table, write_csv, write_json
from cyclegan_course.metrics.wasserstein import (
    laplacian_pyramid,
    sliced_wasserstein,
    sliced_wasserstein_levels,
    wasserstein_1d,
)

__all__ = [
    "PSNR_CEILING",
    "Row",
    "blur",
    "evaluate_translation",
    "evaluate_unpaired",
    "format_table",
    "l1",
    "laplacian_pyramid",
    "measure",
    "psnr",
    "reinhard",
    "sliced_wasserstein",
    "sliced_wasserstein_levels",
    "ssim",
    "wasserstein_1d",
    "write_csv",
    "write_json",
]
