"""Two pictures with a slider between them."""

import html

from PIL import Image

from cyclegan_course.display import data_uri, on_load, publish
from cyclegan_course.errors import CourseError
from cyclegan_course.plots.pictures import Picture, jpeg_bytes, picture_array

# Runs in the browser when the second picture has loaded: lays it over the first one and adds a
# slider. A viewer that removes scripts (GitHub, a notebook that is not trusted yet) leaves the two
# pictures side by side. No kernel takes part, so it works in exported pages too. Everything is
# found from `this`: ids could be taken twice, and an output may live in a document of its own.
_LAY_OVER = """
const box = this.parentNode, top = this, bar = box.nextElementSibling;
if (bar.querySelector('input')) return;
const slider = document.createElement('input');
slider.type = 'range';
slider.value = 50;
slider.setAttribute('aria-label', 'share of the first picture that is shown');
slider.dataset.lmSuppressShortcuts = 'true';  // JupyterLab else takes the arrow keys for itself
slider.style.cssText = 'display:block; width:100%; margin:4px 0';
bar.prepend(slider);
const cut = () => {
  top.style.clipPath = 'inset(0 0 0 ' + slider.value + '%)';
  line.style.left = slider.value + '%';
};
const line = document.createElement('span');
line.style.cssText = 'position:absolute; top:0; bottom:0; width:2px; margin-left:-1px;'
  + 'background:white; box-shadow:0 0 3px black; pointer-events:none';
box.style.cssText = 'position:relative; display:inline-block; max-width:100%; line-height:0;'
  + 'touch-action:pan-y; cursor:ew-resize';
top.style.cssText = 'position:absolute; left:0; top:0; width:100%; height:100%; margin:0';
box.firstElementChild.style.cssText = 'max-width:100%; margin:0';
box.appendChild(line);
bar.style.width = box.offsetWidth + 'px';
slider.oninput = cut;
const drag = event => {
  const area = box.getBoundingClientRect();
  slider.value = 100 * (event.clientX - area.left) / area.width;
  cut();
};
box.onpointerdown = event => { event.preventDefault(); box.setPointerCapture(event.pointerId);
  drag(event); slider.focus(); };
box.onpointermove = event => { if (event.buttons) drag(event); };
cut();
"""
_LARGEST = 480  # pixels: a notebook with a few of these stays small


def before_after(
    before: Picture,
    after: Picture,
    alt: str,
    labels: tuple[str, str] = ("before", "after"),
) -> None:
    """Show two pictures of one size under each other's, with a slider between them.

    Drag in the picture, or use the arrow keys. Where scripts do not run, both pictures stand side
    by side.

    Args:
        before, after: arrays, PIL pictures or tensors of one size; large ones are shown reduced.
        alt: text for those who do not see the pictures.
        labels: words for the two.

    Raises:
        CourseError: if the sizes differ.
    """
    pictures = [Image.fromarray(picture_array(picture)) for picture in (before, after)]
    if pictures[0].size != pictures[1].size:
        raise CourseError(
            f"The pictures have the sizes {pictures[0].size} and {pictures[1].size}: both must "
            "have the same, so resize one of them."
        )
    pictures = [_reduced(picture, _LARGEST) for picture in pictures]
    static = side_by_side([_reduced(picture, 320) for picture in pictures])
    publish(alt, html=before_after_html(*pictures, alt, labels), image=jpeg_bytes(static))


def before_after_html(
    before: Image.Image, after: Image.Image, alt: str, labels: tuple[str, str]
) -> str:
    """The slider as a piece of HTML that needs nothing else."""
    sources = [data_uri(jpeg_bytes(picture)) for picture in (before, after)]
    names = [html.escape(f"{alt} ({label})") for label in labels]
    left, right = (html.escape(label) for label in labels)
    return (
        f'<div><img src="{sources[0]}" alt="{names[0]}" draggable="false"> '
        f'<img src="{sources[1]}" alt="{names[1]}" draggable="false" '
        f'onload="{on_load(_LAY_OVER)}"></div>'
        f'<div style="max-width:100%"><div style="display:flex; justify-content:space-between">'
        f"<span>{left}</span> <span>{right}</span></div></div>"
    )


def side_by_side(pictures: list[Image.Image], gap: int = 6) -> Image.Image:
    """Pictures in one row on white."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + gap
    return row


def _reduced(picture: Image.Image, longest: int) -> Image.Image:
    picture = picture.copy()
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return picture
