"""A generator in an .onnx file, run with onnxruntime, numpy and Pillow alone: no torch.

The file stands alone too: `cyclegan-course export` puts a copy beside the .onnx file.

    python onnx_translator.py painting_AB.onnx cat.jpg cat_painting.png
"""

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

try:
    from cyclegan_course.errors import CourseError
except ImportError:  # a copy of this file, where the course is not installed

    class CourseError(Exception):
        """An error that the user can mend, in one sentence."""


class OnnxTranslator:
    """A generator as a function of pictures: `translator(picture) -> picture`.

    Args:
        path: a file that `export_onnx` has written.
        threads: of onnxruntime; 0 takes one for each core.

    Attributes:
        name, direction, label: such as "painting", "AB", "painting".
        working_size: the model card's, in pixels.
        metadata: all that the file says about itself, as words.

    Raises CourseError if onnxruntime is missing, and for a missing, damaged or foreign file.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 0) -> None:
        self.session = _open(Path(path).expanduser(), threads)
        self.metadata = dict(self.session.get_modelmeta().custom_metadata_map)
        inputs = [(x.name, x.type, len(x.shape)) for x in self.session.get_inputs()]
        if inputs != [("picture", "tensor(float)", 4)] or "direction" not in self.metadata:
            raise CourseError(
                f"{path} is an ONNX file, but not one of this course: make it with "
                "`cyclegan-course export`."
            )
        self.name = self.metadata["name"]
        self.direction = self.metadata["direction"]
        self.label = self.metadata["label"]
        self.working_size = int(self.metadata["working_size"])

    def __call__(
        self,
        picture: Image.Image | np.ndarray | str | os.PathLike,
        working_size: int | str | None = None,
    ) -> Image.Image:
        """Translate one picture; the result has the picture's size, and its alpha if it has one.

        The steps are those of `Translator`: a picture whose longest side is above the working
        size is reduced to it (bicubic, antialiased), and the result enlarged again (Lanczos).
        Transparent parts are seen over white. An embedded colour profile is not applied.

        Args:
            picture: a file's path, a picture, or a uint8 array (H, W, 3).
            working_size: pixels; None takes the file's, 0 or "full" the picture's own.

        Raises CourseError for an unreadable picture and a wrong working size.
        """
        image = _read(picture)
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        if alpha is not None:
            white = Image.new("RGB", image.size, "white")
            image = Image.composite(image.convert("RGB"), white, alpha)
        small = _reduce(image, self._longest(working_size))
        x = np.asarray(small, np.float32).transpose(2, 0, 1)[None] / np.float32(127.5) - 1
        y = self.translate_array(x)[0].transpose(1, 2, 0)
        result = Image.fromarray(np.rint((y + 1) * 127.5).clip(0, 255).astype(np.uint8))
        if result.size != image.size:
            result = result.resize(image.size, Image.Resampling.LANCZOS)
        if alpha is not None:
            result.putalpha(alpha)
        return result

    def _longest(self, chosen: int | str | None) -> int:
        if chosen is None:
            return self.working_size
        if chosen == "full":
            return 0
        if isinstance(chosen, bool) or not isinstance(chosen, int) or chosen < 0:
            raise CourseError(
                f'The working size is a number of pixels such as 256, 0 or "full", not {chosen!r}.'
            )
        return chosen

    def translate_array(self, x: np.ndarray) -> np.ndarray:
        """float32 (N, 3, H, W) in [-1, 1], any H and W from 1 -> the same shape."""
        return self.session.run(None, {"picture": np.ascontiguousarray(x, np.float32)})[0]


def _open(path: Path, threads: int):
    try:
        import onnxruntime
    except ImportError as error:
        raise CourseError(
            "Running an ONNX file needs one more package: pip install onnxruntime"
        ) from error
    if not path.is_file():
        raise CourseError(f"There is no file {path} (looked in {Path.cwd()}): check the name.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors arrive as exceptions, not on the terminal
    try:
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has a class of its own for every kind of damage
        raise CourseError(
            f"{path} is damaged or no ONNX file: copy it again, or export the generator again."
        ) from error


def _read(picture: Image.Image | np.ndarray | str | os.PathLike) -> Image.Image:
    """The picture upright, 8 bits a channel, mode "RGB" or "RGBA"."""
    if isinstance(picture, str | os.PathLike):
        try:
            with Image.open(picture) as file:
                picture = ImageOps.exif_transpose(file)
        except FileNotFoundError as error:
            raise CourseError(f"There is no file {picture}: check the name.") from error
        except Exception as error:  # the decoders raise a dozen kinds of error
            raise CourseError(f"{picture} is not a picture that can be read.") from error
    elif not isinstance(picture, Image.Image):
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise CourseError(
                "A picture array has the shape (H, W, 3) and the type uint8, this one "
                f"{array.shape} and {array.dtype}: convert it first."
            )
        picture = Image.fromarray(array)
    if picture.mode.startswith("I"):  # gray of 16 bits: white is 65535 = 255 * 257
        gray = np.asarray(picture, np.float32) / 257
        picture = Image.fromarray(np.rint(gray).clip(0, 255).astype(np.uint8))
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _reduce(image: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(image.size)
    if longest == 0 or scale >= 1:
        return image
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: python {Path(sys.argv[0]).name} GENERATOR.onnx PICTURE RESULT")
    try:
        OnnxTranslator(sys.argv[1])(sys.argv[2]).save(sys.argv[3])
    except CourseError as error:
        sys.exit(str(error))
