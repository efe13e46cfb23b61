"""A picture that changes while a cell runs."""

from PIL import Image

from cyclegan_course.display import bundle, in_notebook, print_anywhere
from cyclegan_course.plots.pictures import Picture, jpeg_bytes, picture_array


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
            print_anywhere(text)
            return
        parts = bundle(text, image=jpeg_bytes(image))
        self._handle.update(parts["data"], metadata=parts["metadata"], raw=True)

    def update_at(self, picture: Picture, step: int) -> None:
        """`update` with the number of the training step as the caption, for `train(on_sample=)`."""
        self.update(picture, f"after {step} steps")
