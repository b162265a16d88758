"""From parsed options to a verb and its exit code. No Qt here."""

from __future__ import annotations

import argparse
import sys

from app.cli.failures import guarded, print_error, print_line
from models.errors import FathomError
from models.log import configure
from models.paths import user_paths
from models.settings import Settings


def run_verb(options: argparse.Namespace) -> int:
    """Run ``options.verb`` with everything that goes wrong caught and told."""
    try:
        log = configure(user_paths(options.base_dir).log_dir, debug=options.debug)
    except FathomError as error:
        print_error(error, json_output=options.json)
        return error.exit_code
    _make_output_tolerant()
    try:
        return guarded(lambda: _call(options), json_output=options.json, log_file=log.file)
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
    if options.verb == "run":
        from app.cli.run import run

        return run(options, session)
    if options.verb == "inspect":
        from app.cli.inspect import inspect

        return inspect(options, session)
    if options.verb == "plan":
        from app.cli.plan import plan

        return plan(options, session)
    if options.verb == "bench":
        from app.cli.bench import bench

        return bench(options, session)
    from app.cli.devices import devices

    return devices(options, session)
