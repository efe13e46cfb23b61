"""`python -m cyclegan_course`: the command line, for torchrun."""

import os
import sys

try:
    from cyclegan_course.cli import main
except KeyboardInterrupt:  # the import takes seconds
    sys.exit(130)

if int(os.environ.get("RANK", "0")) > 0:  # the first process speaks for all; errors are on stderr
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
sys.exit(main())
