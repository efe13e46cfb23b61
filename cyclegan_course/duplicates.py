"""Pictures that are the same, or nearly: copies, re-encoded ones, mirror images."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter

# Two pictures count as the same if their 24 x 24 luminances correlate by more than SAME and what
# these have beyond a blur of 3 x 3 by more than SAME_DETAIL. The first alone also joins landscapes
# that only share a bright sky over dark ground; copies that were compressed, brightened or halved
# in size have 0.95 and more of the second.
SAME, SAME_DETAIL = 0.93, 0.75
_FLAT = 1.0  # of 255: deviation below which there is nothing to correlate
_ROWS = 1024  # of the matrix of correlations, made at a time


def fingerprints(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Thumbnails, uint8 (24, 24, 3) each -> (N, 576) luminances of mean 0 and length 1.

    The product of two rows is then their correlation. A flat picture becomes a row of zeros,
    which is like no other.
    """
    if not len(thumbnails):
        return np.zeros((0, 1), np.float32)
    luminance = np.stack(thumbnails).astype(np.float32) @ np.float32([0.299, 0.587, 0.114])
    luminance[luminance.std(axis=(1, 2)) < _FLAT] = 0
    return _unit_rows(luminance)


def near_pairs(one: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Pairs of rows that show the same picture, mirrored left to right or not.

    Args:
        one, other: fingerprints (N, 576) and (M, 576); without `other` the pairs inside `one`.

    Returns:
        (P, 2) indices, the first into `one` and the second into `other` (or `one`, then larger
        than the first), sorted. As products of matrices: 5000 x 5000 in a few seconds.
    """
    inside = other is None
    other = one if other is None else other
    if not len(one) or not len(other):
        return np.zeros((0, 2), np.int64)
    mirrored = _squares(other)[:, :, ::-1].reshape(other.shape)
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(one), _ROWS):
        rows = one[start : start + _ROWS]
        after = start if inside else 0  # the pairs before were found from the other side
        for theirs in (other[after:], mirrored[after:]):
            near = rows @ theirs.T > SAME
            columns = np.flatnonzero(near.any(axis=0))  # few: the detail is compared of these
            if not len(columns):
                continue
            near = near[:, columns] & (_detail(rows) @ _detail(theirs[columns]).T > SAME_DETAIL)
            first, second = np.nonzero(near)
            found.append(np.stack([first + start, columns[second] + after], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[pairs[:, 0] < pairs[:, 1]] if inside else pairs


def _detail(rows: np.ndarray) -> np.ndarray:
    """Fingerprints without what a blur of 3 x 3 keeps, again of mean 0 and length 1."""
    squares = _squares(rows)
    return _unit_rows(squares - uniform_filter(squares, (0, 3, 3), mode="nearest"))


def _squares(rows: np.ndarray) -> np.ndarray:
    side = round(rows.shape[1] ** 0.5)
    return rows.reshape(len(rows), side, side)


def _unit_rows(squares: np.ndarray) -> np.ndarray:
    rows = squares.reshape(len(squares), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def groups(count: int, pairs: np.ndarray) -> list[list[int]]:
    """The groups of two or more of `count` things that pairs join, each sorted."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, j in pairs.tolist():
        root[max(find(i), find(j))] = min(find(i), find(j))
    members: dict[int, list[int]] = {}
    for i in range(count):
        members.setdefault(find(i), []).append(i)
    return [group for group in members.values() if len(group) > 1]
