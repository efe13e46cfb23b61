"""Translating pictures of any size with a trained generator.

    from cyclegan_course.translate import translate
    translate("cat.jpg", to="painting").save("cat_painting.png")

`weights` knows the files of trained generators, `translator` turns one into a function of pictures,
`photos` keeps what such a picture may hold (16 bits, transparency), `files` translates folders.
`tiles` and `rows` translate huge pictures in strips, `seams` compares ways of doing that. `onnx`
writes a generator for other programs, `page` a web page that translates.
"""

from cyclegan_course.translate.files import Job, plan_files, translate_files
from cyclegan_course.translate.onnx import OnnxTranslator, check_onnx, export_onnx
from cyclegan_course.translate.page import export_page
from cyclegan_course.translate.tiles import translate_in_strips
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
    "Job",
    "OnnxTranslator",
    "Translator",
    "available_names",
    "check_onnx",
    "export_onnx",
    "export_page",
    "load_card",
    "load_generator",
    "load_translator",
    "plan_files",
    "resolve_target",
    "save_generator",
    "translate",
    "translate_files",
    "translate_in_strips",
    "weights_folder",
]
