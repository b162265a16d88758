"""The one entry: window, verb or child, chosen before Qt or llama.cpp is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run Fathom with the given arguments (default: the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["engine"]:
        from models.runtime.worker import main as engine_main

        return engine_main(arguments[1:])
    if arguments[:1] == ["oracle"]:
        from models.runtime.oracle_worker import main as oracle_main

        return oracle_main()
    if arguments[:1] == ["planner"]:
        from models.planning.planner_worker import main as planner_main

        return planner_main(arguments[1:])
    if arguments[:1] == ["transfer"]:
        from models.transfer.worker import main as transfer_main

        return transfer_main()
    if arguments[:1] == ["try-template"]:
        from models.checks.template_worker import main as template_main

        return template_main()
    if arguments[:1] == ["draw-formulas"]:
        from models.formulas.worker import main as formulas_main

        return formulas_main()
    if arguments[:1] == ["http-server"]:
        from models.api.worker import main as server_main

        return server_main()
    if arguments[:1] == ["check-qt"]:
        from app.check_qt import check_qt

        return check_qt()
    try:
        from app.cli.parser import parse

        options = parse(arguments)
        if options.verb:
            from app.cli.verbs import run_verb

            return run_verb(options)
    except KeyboardInterrupt:
        # Before whoever catches it was imported, or after it: no reason for a traceback.
        if sys.stderr is not None:
            sys.stderr.write("fathom: Stopped.\n")
        return _INTERRUPTED
    return _open_window(options)


def _open_window(options: argparse.Namespace) -> int:
    if sys.platform.startswith("linux"):
        use_utf8_locale(os.environ)
    if not _has_display():
        sys.stderr.write(
            "fathom: There is no display to open a window on. Use 'fathom run demo --prompt TEXT', "
            "or set QT_QPA_PLATFORM=offscreen.\n"
        )
        return 1
    from app.early_words import tell_early
    from app.processor import missing_for_qt, too_old

    missing = missing_for_qt()
    if missing and not _qt_runs():
        tell_early(too_old(missing))
        return 1
    try:
        from app.application import GuiOptions, run_gui
    except ImportError as error:
        if not (error.name or "").startswith(("PySide6", "shiboken6")):
            raise
        tell_early(f'Qt cannot be loaded ({error}). Run "fathom doctor".')
        return 1
    return run_gui(
        GuiOptions(
            base_dir=options.base_dir,
            model=options.window_model,
            debug=options.debug,
            demo_question=options.demo_question,
            screenshot=options.screenshot,
        )
    )


def use_utf8_locale(env: MutableMapping[str, str]) -> None:
    """Ask for UTF-8 where no language is set, as in a bare shell; Qt complains of anything else.

    Python does so by itself (PEP 538), a frozen one does not.
    """
    deciding = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if env.get(name)), "LC_CTYPE")
    if env.get(deciding, "C") in ("C", "POSIX"):
        env["LC_ALL" if deciding == "LC_ALL" else "LC_CTYPE"] = "C.UTF-8"


def _qt_runs() -> bool:
    from app.processor import qt_runs
    from models.runtime.command import engine_environment, program_command

    return qt_runs(program_command("check-qt"), engine_environment())


def _has_display() -> bool:
    """Whether Qt can find a screen; without one it would abort the process."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


if __name__ == "__main__":
    sys.exit(main())
