"""Chapter 12 in a real browser."""

from .chapter import Chapter


class TestChapter12(Chapter):
    stem = "12_making_it_fast"
    figures = 2
    exercise = "12.1"
    mistake = "counts the warm-up"
    attempt = """
def in_turns(functions, clock, rounds=5, warm_up=1):
    seconds = {name: [] for name in functions}
    for _ in range(warm_up + rounds):
        for name, function in functions.items():
            start = clock()
            function()
            seconds[name].append(clock() - start)
    return seconds
"""
