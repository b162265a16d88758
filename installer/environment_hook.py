"""First thing in the frozen program: other programs must not get our libraries.

PyInstaller's start sets LD_LIBRARY_PATH to the program's own folder. The dynamic loader has read
it by now; a web browser or file manager that Fathom opens would load our libraries in place of the
system's and may not start. Our own children set it again.
"""

import os

_NAME = "LD_LIBRARY_PATH"
_before = os.environ.pop(f"{_NAME}_ORIG", None)
if _before is None:
    os.environ.pop(_NAME, None)
else:
    os.environ[_NAME] = _before
