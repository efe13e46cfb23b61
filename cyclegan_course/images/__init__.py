"""Reading any picture file safely; tensor <-> picture; files that are whole or absent.

Four forms of the same picture pass through the course:

- **picture**: `PIL.Image.Image` of mode "RGB";
- **array**: numpy uint8, (H, W, 3), RGB;
- **photo**: a `Photo`, which also keeps what a picture loses: 16 bits a channel, transparency;
- **tensor**: float32, (3, H, W), range [-1, 1], RGB, the range of the generator's tanh.

Everything that a learner can put right (a missing file, a broken one, a full disk) is a
`CourseError`.
"""

from cyclegan_course.images.convert import (
    photo_to_picture,
    photo_to_tensor,
    picture_to_tensor,
    pictures_to_tensor,
    tensor_to_photo,
    tensor_to_picture,
    to_array,
)
from cyclegan_course.images.files import (
    PICTURE_SUFFIXES,
    find_pictures,
    remove_unfinished,
    shown,
    whole_file,
    write_text,
)
from cyclegan_course.images.photo import Photo, to_rgb
from cyclegan_course.images.reading import read_photo, read_picture
from cyclegan_course.images.writing import (
    PHOTO_SUFFIXES,
    save_photo,
    save_picture,
    what_is_lost,
)

__all__ = [
    "PHOTO_SUFFIXES",
    "PICTURE_SUFFIXES",
    "Photo",
    "find_pictures",
    "photo_to_picture",
    "photo_to_tensor",
    "picture_to_tensor",
    "pictures_to_tensor",
    "read_photo",
    "read_picture",
    "remove_unfinished",
    "save_photo",
    "save_picture",
    "shown",
    "tensor_to_photo",
    "tensor_to_picture",
    "to_array",
    "to_rgb",
    "what_is_lost",
    "whole_file",
    "write_text",
]
