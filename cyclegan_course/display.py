"""Showing things in a notebook, with words for those who do not see them, and in a plain script."""

import base64
import sys
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipywidgets import Widget

PNG_START = b"\x89PNG"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def in_notebook() -> bool:
    """Whether IPython runs this code, so that rich output has somewhere to go."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def bundle(
    text: str,
    *,
    html: str | None = None,
    image: bytes | None = None,
    widget: "Widget | None" = None,
) -> dict:
    """Keywords for IPython's `display`: one output in several forms, the viewer picks the best.

    Args:
        text: what a terminal prints, and the alternative text of the picture.
        html: for notebooks.
        image: the bytes of a PNG or JPEG file, which also reaches viewers that run no scripts.
        widget: what a viewer with a kernel shows in place of all the others.
    """
    data, metadata = {"text/plain": text}, {}
    if widget is not None:
        # Version 2.0 is the format of the view, the same for ipywidgets 7 and 8.
        data[WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    if html is not None:
        data["text/html"] = html
    if image is not None:
        kind = image_type(image)
        data[kind] = base64.b64encode(image).decode("ascii")
        metadata[kind] = {"alt": text}
        if html is None and widget is None:
            # JupyterLab 4.6 shows a bare picture without its words; HTML comes before it there.
            data["text/html"] = picture_html(text, image)
    return {"data": data, "metadata": metadata}


def image_type(image: bytes) -> str:
    """The MIME type of the bytes of a PNG or JPEG file."""
    return "image/png" if image.startswith(PNG_START) else "image/jpeg"


def picture_html(text: str, image: bytes, script: str = "") -> str:
    """A picture with its alternative text as HTML. A script runs when it has loaded (`on_load`)."""
    event = f' onload="{on_load(script)}"' if script else ""
    return f'<img alt="{escape(text)}" style="max-width:100%"{event} src="{data_uri(image)}">'


def data_uri(image: bytes) -> str:
    """A PNG or JPEG file as an address that holds the file itself, for `src` in HTML."""
    return f"data:{image_type(image)};base64,{base64.b64encode(image).decode('ascii')}"


def on_load(script: str) -> str:
    """JavaScript as the value of an `onload` attribute; in it, `this` is the element."""
    return escape(f"(function () {{{script}}}).call(this)")


def print_anywhere(text: str) -> None:
    """Print; what the console cannot write, such as ✓ in code page 1252, becomes an escape."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def publish(
    text: str,
    *,
    html: str | None = None,
    image: bytes | None = None,
    widget: "Widget | None" = None,
) -> None:
    """Show one output; in a plain script its text is printed."""
    if not in_notebook():
        print_anywhere(text)
        return
    from IPython.display import display

    parts = bundle(text, html=html, image=image, widget=widget)
    display(parts["data"], metadata=parts["metadata"], raw=True)
