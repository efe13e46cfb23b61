"""The page of words in a real browser."""

from .chapter import Text


class TestVocabulary(Text):
    stem = "vocabulary"
