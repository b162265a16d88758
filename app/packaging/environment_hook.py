"""First thing in the frozen program: neither other programs nor our children inherit its start.

PyInstaller's start sets LD_LIBRARY_PATH to the program's own folder; the dynamic loader has read it
by now. A web browser or file manager that Fathom opens would load our libraries in place of the
system's and may not start. Our own children need it again: without the marks of PyInstaller's start
they take themselves for the first process and set it; with them they would load the system's
libraries.
"""

import os

_NAME = "LD_LIBRARY_PATH"


def _restore() -> None:
    before = os.environ.pop(f"{_NAME}_ORIG", None)
    if before is None:
        os.environ.pop(_NAME, None)
    else:
        os.environ[_NAME] = before
    for mark in [name for name in os.environ if name.startswith("_PYI_")]:
        del os.environ[mark]


_restore()
