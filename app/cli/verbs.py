"""From parsed options to a verb and its exit code. No Qt here."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.cli.failures import guarded, print_error, print_line
from models.errors import FathomError
from models.log import configure
from models.paths import user_paths
from models.settings import Settings

if TYPE_CHECKING:
    from app.cli.session import Session

_VERBS = {
    "addons": ("app.cli.addons", "addons"),
    "bench": ("app.cli.bench", "bench"),
    "devices": ("app.cli.devices", "devices"),
    "inspect": ("app.cli.inspect", "inspect"),
    "ls": ("app.cli.ls", "ls"),
    "plan": ("app.cli.plan", "plan"),
    "pull": ("app.cli.pull", "pull"),
    "rm": ("app.cli.ls", "rm"),
    "run": ("app.cli.run", "run"),
    "sbom": ("app.cli.sbom", "sbom"),
    "search": ("app.cli.search", "search"),
    "serve": ("app.cli.serve", "serve"),
    "update": ("app.cli.update", "update"),
    "verify": ("app.cli.verify", "verify"),
}


def run_verb(options: argparse.Namespace) -> int:
    """Run ``options.verb`` with everything that goes wrong caught and told."""
    if sys.stderr is None:
        # Closed by the shell (``2>&-``). First of all: no other file may become descriptor 2.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    try:
        log = configure(user_paths(options.base_dir).log_dir, debug=options.debug)
    except FathomError as error:
        print_error(error, json_output=options.json)
        return error.exit_code
    _make_output_tolerant()
    try:
        code = guarded(lambda: _call(options), json_output=options.json, log_file=log.file)
        if log.problem and code == 0:
            # What failed has told why, most likely of the same folder; doctor lists it.
            print_line(log.problem)
        return code
    finally:
        log.close()


def _make_output_tolerant() -> None:
    # A terminal with a small character set shows "?" instead of ending the program.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _call(options: argparse.Namespace) -> int:
    from app.cli.session import Session

    paths = user_paths(options.base_dir)
    settings = Settings(paths.settings_file)
    session = Session(paths, settings)
    if options.verb == "doctor":
        from app.cli.doctor import doctor

        # A settings file that cannot be read is one of its findings.
        return doctor(options, session)
    for warning in settings.load():
        print_line(warning)
    return _verb(options.verb)(options, session)


def _verb(name: str) -> Callable[[argparse.Namespace, Session], int]:
    """Return what does a verb; only its own modules are imported."""
    module, function = _VERBS[name]
    found: Callable[[argparse.Namespace, Session], int] = getattr(
        importlib.import_module(module), function
    )
    return found
