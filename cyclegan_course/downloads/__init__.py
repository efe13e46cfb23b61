"""The classic unpaired sets, downloaded on request: resumed, checked, and unpacked safely.

- `catalogue`: which sets there are, where, and their published sizes and sums;
- `transfer`: one request over HTTP; `fetching`: as many as a file takes;
- `unpacking`: a zip archive that nobody vouches for;
- `installed`: which sets are there, whole or damaged;
- `installing`: all of it together, into the user's cache folder.
"""

from cyclegan_course.downloads.catalogue import SETS, DataSet
from cyclegan_course.downloads.installed import data_folder, find_downloaded
from cyclegan_course.downloads.installing import download
from cyclegan_course.downloads.transfer import Patience
from cyclegan_course.downloads.unpacking import Limits

__all__ = [
    "SETS",
    "DataSet",
    "Limits",
    "Patience",
    "data_folder",
    "download",
    "find_downloaded",
]
