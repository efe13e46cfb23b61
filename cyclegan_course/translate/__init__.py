"""Translating pictures of any size with a trained generator.

    from cyclegan_course.translate import translate
    translate("cat.jpg", to="painting").save("cat_painting.png")

`weights` knows the files of trained generators, `translator` turns one into a function of pictures,
`files` translates folders.
"""

from cyclegan_course.translate.files import translate_files
from cyclegan_course.translate.translator import Translator, load_translator, translate
from cyclegan_course.translate.weights import (
    WEIGHTS_VARIABLE,
    available_names,
    load_card,
    load_generator,
    resolve_target,
    save_generator,
    weights_folder,
)

__all__ = [
    "WEIGHTS_VARIABLE",
    "Translator",
    "available_names",
    "load_card",
    "load_generator",
    "load_translator",
    "resolve_target",
    "save_generator",
    "translate",
    "translate_files",
    "weights_folder",
]
