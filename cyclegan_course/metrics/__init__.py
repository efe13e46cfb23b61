"""Measuring translation against the sealed truth.

Three questions, three kinds of number:

- *Is it the right picture?* `psnr`, `ssim` and `l1` (`fidelity`) compare a translation with its own
  truth. Exact brush strokes or stars cannot be learned from unpaired pictures, so each is also
  taken after a `blur`, which leaves the content and drops the details.
- *Does it look like the other domain?* `sliced_wasserstein` (`wasserstein`), `fid` and `kid`
  (`distribution`, of `features`) compare two sets of pictures, with no pairing at all.
- *Does it show the scene it was given?* `correspondence`.

`reinhard` (`baselines`) is to be beaten: a colour transfer that has learned nothing. `intervals`
says how far chance moves a number, `evaluation` measures a translator, `table` shows the rows.
`known_order` has translators whose order nobody doubts, to try measures on.

Everywhere a set of pictures is a float tensor (N, 3, H, W), RGB, in [-1, 1]. Anything else (another
shape, a value out of range, NaN) raises `CourseError`.
"""

from cyclegan_course.metrics.baselines import reinhard
from cyclegan_course.metrics.correspondence import correspondence, own_scene
from cyclegan_course.metrics.distribution import fid, frechet_distance, kernel_distance, kid
from cyclegan_course.metrics.evaluation import (
    evaluate_translation,
    evaluate_unpaired,
    measure,
    measure_fully,
    picture_scores,
    tasks_of_pictures,
    tasks_of_world,
)
from cyclegan_course.metrics.features import FeatureNetwork, load_features
from cyclegan_course.metrics.fidelity import PSNR_CEILING, blur, l1, psnr, ssim
from cyclegan_course.metrics.intervals import (
    Interval,
    jackknife_interval,
    mean_interval,
    paired_interval,
    share_interval,
    wasserstein_interval,
)
from cyclegan_course.metrics.table import (
    Row,
    format_by_metric,
    format_table,
    over_seeds,
    row_from_dict,
    row_to_dict,
    write_csv,
    write_json,
)
from cyclegan_course.metrics.wasserstein import (
    laplacian_pyramid,
    sliced_wasserstein,
    sliced_wasserstein_levels,
    wasserstein_1d,
)

__all__ = [
    "PSNR_CEILING",
    "FeatureNetwork",
    "Interval",
    "Row",
    "blur",
    "correspondence",
    "evaluate_translation",
    "evaluate_unpaired",
    "fid",
    "format_by_metric",
    "format_table",
    "frechet_distance",
    "jackknife_interval",
    "kernel_distance",
    "kid",
    "l1",
    "laplacian_pyramid",
    "load_features",
    "mean_interval",
    "measure",
    "measure_fully",
    "over_seeds",
    "own_scene",
    "paired_interval",
    "picture_scores",
    "psnr",
    "reinhard",
    "row_from_dict",
    "row_to_dict",
    "share_interval",
    "sliced_wasserstein",
    "sliced_wasserstein_levels",
    "ssim",
    "tasks_of_pictures",
    "tasks_of_world",
    "wasserstein_1d",
    "wasserstein_interval",
    "write_csv",
    "write_json",
]
