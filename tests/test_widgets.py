"""Interactive pictures: what they publish, and what is left of them without scripts."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from IPython.utils.capture import capture_output
from PIL import Image

from cyclegan_course import widgets
from cyclegan_course.display import bundle
from cyclegan_course.errors import CourseError


def flat(value, size=(30, 40)):
    return np.full((*size, 3), value, np.uint8)


class Elements(HTMLParser):
    """All elements of a piece of HTML, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def published(function, *args, **kwargs):
    with capture_output() as captured:
        function(*args, **kwargs)
    (output,) = captured.outputs
    return output


def picture_in(source):
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[-1])))


def test_output_holds_both_pictures_with_their_words(shell):
    data = published(
        widgets.before_after, flat(10), flat(240), "a <wall> & a door", ("photo", "painting")
    ).data
    elements = Elements(data["text/html"])
    assert not elements.open
    before, after = elements.of("img")
    assert before["alt"] == "a <wall> & a door (photo)"
    assert after["alt"] == "a <wall> & a door (painting)"
    assert picture_in(before["src"]).getpixel((5, 5)) == (10, 10, 10)
    assert picture_in(after["src"]).getpixel((5, 5)) == (240, 240, 240)


def test_without_scripts_both_pictures_and_no_dead_slider_are_left(shell):
    elements = Elements(published(widgets.before_after, flat(10), flat(240), "x").data["text/html"])
    assert not elements.of("script")
    assert not elements.of("input")
    assert all("position" not in image.get("style", "") for image in elements.of("img"))


def test_plain_picture_shows_both_side_by_side(shell):
    output = published(widgets.before_after, flat(10), flat(240), "two walls")
    picture = picture_in(output.data["image/jpeg"])
    assert picture.size == (86, 30)
    assert picture.getpixel((0, 0)) == (10, 10, 10)
    assert picture.getpixel((85, 29)) == (240, 240, 240)
    assert output.metadata["image/jpeg"]["alt"] == output.data["text/plain"] == "two walls"


def test_a_picture_has_its_words_where_metadata_are_not_read():
    """JupyterLab 4.6 gives a picture no alternative text, so there is HTML that does."""
    data = bundle('a "red" <wall>', image=b"\x89PNG")["data"]
    (image,) = Elements(data["text/html"]).of("img")
    assert image["alt"] == 'a "red" <wall>'
    assert image["src"].startswith("data:image/png;base64,")


def test_large_pictures_are_shown_reduced(shell):
    large = flat(99, (1200, 1800))
    data = published(widgets.before_after, large, large, "large").data
    assert picture_in(Elements(data["text/html"]).of("img")[0]["src"]).size == (480, 320)
    assert sum(len(str(part)) for part in data.values()) < 200_000


def test_pictures_of_two_sizes_are_a_sentence():
    with pytest.raises(CourseError, match="resize one"):
        widgets.before_after(flat(1), flat(1, (30, 41)), "x")


def test_in_a_script_words_are_printed(capsys):
    widgets.before_after(flat(1), flat(2), "two walls")
    live = widgets.LivePicture("samples")
    live.update(flat(3), "after 5 steps")
    assert capsys.readouterr().out == "two walls\nsamples, after 5 steps\n"


def test_live_picture_replaces_the_one_before(shell, monkeypatch):
    sent = []
    monkeypatch.setattr(
        shell.display_pub, "publish", lambda **message: sent.append(message), raising=True
    )
    live = widgets.LivePicture("samples", scale=3)
    live.update(flat(10), "after 1 step")
    live.update_at(flat(240), 2)
    place, first, second = sent
    assert not place.get("update")
    assert first["update"]
    assert second["update"]
    assert len({message["transient"]["display_id"] for message in sent}) == 1
    assert second["data"]["text/plain"] == "samples, after 2 steps"
    picture = picture_in(second["data"]["image/jpeg"])
    assert picture.size == (120, 90)
    assert picture.getpixel((0, 0)) == (240, 240, 240)
