"""Interactive pictures. Each is one call, and where nothing can be moved it is a plain picture."""

import base64
import html
import io

from PIL import Image

from cyclegan_course.display import bundle, in_notebook, publish
from cyclegan_course.errors import CourseError
from cyclegan_course.plots import Picture, picture_array

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
    publish(alt, html=before_after_html(*pictures, alt, labels), image=_encode(static))


def before_after_html(
    before: Image.Image, after: Image.Image, alt: str, labels: tuple[str, str]
) -> str:
    """The slider as a piece of HTML that needs nothing else."""
    sources = [
        f"data:image/jpeg;base64,{base64.b64encode(_encode(picture)).decode('ascii')}"
        for picture in (before, after)
    ]
    names = [html.escape(f"{alt} ({label})") for label in labels]
    left, right = (html.escape(label) for label in labels)
    action = html.escape(f"(function () {{{_LAY_OVER}}}).call(this)")
    return (
        f'<div><img src="{sources[0]}" alt="{names[0]}" draggable="false"> '
        f'<img src="{sources[1]}" alt="{names[1]}" draggable="false" onload="{action}"></div>'
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


class LivePicture:
    """A picture in a cell's output that is replaced while the cell runs.

        live = LivePicture("samples of the training")
        train(config, on_sample=live.update_at)

    Its place is taken at once, so a progress bar that follows stays in one piece below it. The last
    picture stays. In a plain script only the captions are printed.

    Args:
        alt: text for those who do not see the pictures.
        scale: whole number of screen pixels for each pixel of a picture.
    """

    def __init__(self, alt: str, scale: int = 1) -> None:
        self.alt = alt
        self.scale = scale
        self._handle = None
        if in_notebook():
            from IPython.display import display

            waiting = {"text/plain": f"{alt}: the first picture comes soon"}
            self._handle = display(waiting, raw=True, display_id=True)

    def update(self, picture: Picture, caption: str = "") -> None:
        """Show this picture in place of the one before."""
        image = Image.fromarray(picture_array(picture))
        if self.scale > 1:
            size = (image.width * self.scale, image.height * self.scale)
            image = image.resize(size, Image.Resampling.NEAREST)
        text = f"{self.alt}, {caption}" if caption else self.alt
        if self._handle is None:
            print(text)
            return
        parts = bundle(text, image=_encode(image))
        self._handle.update(parts["data"], metadata=parts["metadata"], raw=True)

    def update_at(self, picture: Picture, step: int) -> None:
        """`update` with the number of the training step as the caption, for `train(on_sample=)`."""
        self.update(picture, f"after {step} steps")


def _reduced(picture: Image.Image, longest: int) -> Image.Image:
    picture = picture.copy()
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return picture


def _encode(picture: Image.Image) -> bytes:
    """As a JPEG file, which is small and, at this quality, looks the same."""
    stream = io.BytesIO()
    picture.save(stream, "jpeg", quality=92, subsampling=0, optimize=True)
    return stream.getvalue()
