"""Interactive figures. Each is one call, and where nothing can be moved it is a plain figure.

`before_after` runs in the browser alone; `explore` asks the kernel to draw again; `Dashboard` shows
a training run and can stop it.
"""

from cyclegan_course.widgets.before_after import before_after
from cyclegan_course.widgets.dashboard import Dashboard
from cyclegan_course.widgets.explore import explore
from cyclegan_course.widgets.live_picture import LivePicture

__all__ = ["Dashboard", "LivePicture", "before_after", "explore"]
