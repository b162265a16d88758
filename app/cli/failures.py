"""The one place where a verb's failures become words and exit codes. No Qt here."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from models.errors import FathomError

CRASH = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_log = logging.getLogger(__name__)


def print_error(error: FathomError, *, json_output: bool) -> None:
    """Tell an expected failure: one line on stderr, and with ``--json`` the object on stdout."""
    _log.info("%s: %s", error.code, error.one_line())
    if error.details:
        _log.info("Details: %s", error.details)
    if json_output:
        print(json.dumps({"error": error.to_json()}, ensure_ascii=False), flush=True)
    print_line(error.one_line())


def print_line(text: str) -> None:
    """Write one line for the reader to stderr."""
    print(f"fathom: {text}", file=sys.stderr, flush=True)


def guarded(verb: Callable[[], int], *, json_output: bool, log_file: Path | None) -> int:
    """Run a verb and return its exit code, whatever happens.

    An expected failure gives its own code, Ctrl-C 130, a reader that went away 141 and no word,
    anything else is a crash: the traceback goes to the log, one line says where, code 70.
    """
    try:
        code = verb()
        # There is none where the shell closed it (``>&-``): nobody wants to read.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except FathomError as error:
        print_error(error, json_output=json_output)
        return error.exit_code
    except KeyboardInterrupt:
        print_line("Stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in _NO_ROOM:
            return _report_crash(error, log_file)
        _silence_stdout()
        print_line("There is no room left to write the answer.")
        return 1
    except Exception as error:  # noqa: BLE001 - the process boundary: a bug is reported, not shown
        return _report_crash(error, log_file)


def _silence_stdout() -> None:
    """Let nothing more be written."""
    # What is still buffered would fail again when the interpreter flushes at exit.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _report_crash(error: Exception, log_file: Path | None) -> int:
    trace = "".join(traceback.format_exception(error))
    _log.critical("Crash of the command line\n%s", trace)
    kind = type(error).__name__
    if log_file is None:
        sys.stderr.write(trace)
        print_line(f"This is a bug in Fathom ({kind}). Please report the lines above.")
    else:
        print_line(f"This is a bug in Fathom ({kind}). The details are in {log_file}.")
    return CRASH
