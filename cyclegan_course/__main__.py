"""`python -m cyclegan_course`: the command line, for torchrun."""

import sys

from cyclegan_course.cli import main

sys.exit(main())
