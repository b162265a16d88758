"""What may be typed after ``fathom``, and every number's bounds. No Qt here."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from app.cli.hub_parser import (
    add_pull_options,
    add_rm_options,
    add_search_options,
    add_verify_options,
)
from app.cli.plan_parser import add_plan_options
from app.cli.serve_parser import add_serve_options
from models.version import VERSION

BAD_INPUT = 2

_DESCRIPTION = "Runs DeepSeek models, and other GGUF checkpoints, on your own machine."
_EPILOG = """\
Without a verb the window opens.

  fathom run demo --prompt "Why is the sky blue?"
  fathom run ~/models/DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf --prompt "Hi" --json
  fathom inspect ~/models/DeepSeek-V3-0324-Q4_K_M-00001-of-00009.gguf
  fathom search deepseek r1
  fathom pull r1-distill-qwen-7b
  fathom serve demo
  fathom devices

"fathom VERB --help" says what a verb takes. Exit codes: 0 done, 1 failed, 2 bad input,
70 a bug in Fathom, 130 stopped with Ctrl-C."""

_MAX_TOKENS = 16_777_216
_MAX_SEED = 4_294_967_294
_MAX_HITS = 1000
_MAX_PORT = 65_535
_WINDOW_OPTIONS = {
    "window_model": "--model",
    "demo_question": "--demo-question",
    "screenshot": "--screenshot",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        self.exit(BAD_INPUT, f'fathom: {message}. See "{self.prog} --help".\n')


def _whole(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f'"{text[:40]}" is not a whole number from {low} to {high:,}'
            )
        return number

    return convert


def _decimal(low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f'"{text[:40]}" is not a number from {low:g} to {high:g}'
            )
        return number

    return convert


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("the text is not valid UTF-8") from None
    return text


def _shared() -> Parser:
    """Options that may stand before or after the verb."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument(
        "--basedir",
        dest="base_dir",
        metavar="DIR",
        type=Path,
        help="keep settings, conversations, models and logs in DIR",
    )
    shared.add_argument(
        "--debug", action="store_true", help="write a detailed log, to the terminal too"
    )
    return shared


def build_parser() -> Parser:
    """Return the parser of the whole program."""
    shared = _shared()
    parser = Parser(
        prog="fathom",
        usage="fathom [FILE.gguf] [options]\n       fathom VERB [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Fathom {VERSION}")
    window = parser.add_argument_group("the window")
    window.add_argument(
        "--model",
        dest="window_model",
        metavar="NAME",
        help="load this checkpoint: a name or a path",
    )
    window.add_argument(
        "--demo-question",
        metavar="TEXT",
        help="ask the demo checkpoint TEXT, print the answer and exit",
    )
    window.add_argument(
        "--screenshot", metavar="PATH", type=Path, help="save a picture of the window at the end"
    )
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", prog="fathom")
    _add_run(verbs, shared)
    _add_serve(verbs, shared)
    _add_inspect(verbs, shared)
    _add_plan(verbs, shared)
    _add_library(verbs, shared)
    _add_bench(verbs, shared)
    _add_devices(verbs, shared)
    _add_doctor(verbs, shared)
    _add_addons(verbs, shared)
    _add_update(verbs, shared)
    _add_sbom(verbs, shared)
    return parser


def _add_verb(
    verbs: Any,
    shared: Parser,
    name: str,
    summary: str,
    more: str,
    *,
    json_help: str = "print one JSON object and nothing else",
) -> Parser:
    verb = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {more}",
        parents=[shared],
        allow_abbrev=False,
    )
    assert isinstance(verb, Parser)
    verb.add_argument("--json", action="store_true", help=json_help)
    return verb


def _add_run(verbs: Any, shared: Parser) -> None:
    run = _add_verb(
        verbs,
        shared,
        "run",
        "answer one question with a checkpoint",
        "The answer goes to standard output as it comes, everything else to standard error. "
        "What is not given here is taken from the settings.",
    )
    run.add_argument("model", metavar="MODEL", help='path of a GGUF file, or a name such as "demo"')
    run.add_argument(
        "--prompt",
        metavar="TEXT",
        required=True,
        type=_text,
        help='the question; "-" reads it from standard input',
    )
    run.add_argument("--system", metavar="TEXT", type=_text, help="the system prompt")
    run.add_argument(
        "--max-tokens",
        metavar="N",
        type=_whole(0, _MAX_TOKENS),
        help="longest answer in tokens; 0: until the context is full",
    )
    run.add_argument(
        "--temp",
        metavar="X",
        type=_decimal(0, 5),
        help="temperature; 0: always the likeliest token",
    )
    run.add_argument("--seed", metavar="N", type=_whole(-1, _MAX_SEED), help="seed; -1: draw one")
    run.add_argument(
        "--ctx",
        metavar="N",
        type=_whole(0, _MAX_TOKENS),
        help="context in tokens; 0: chosen for the checkpoint",
    )
    run.add_argument(
        "--template",
        choices=("own", "known"),
        help="the checkpoint's own chat template, or the known one of its family; without this, "
        "what was decided in the window, or the own one if nothing is to be decided",
    )


def _add_serve(verbs: Any, shared: Parser) -> None:
    serve = _add_verb(
        verbs,
        shared,
        "serve",
        "let other programs on this machine ask a checkpoint, in the manner of OpenAI's API",
        "The server listens on 127.0.0.1 only and wants a key with every request. Ctrl-C ends it.",
        json_help="print one JSON object a line for everything that happens",
    )
    add_serve_options(serve, _whole(0, _MAX_TOKENS), _whole(0, _MAX_PORT))


def _add_inspect(verbs: Any, shared: Parser) -> None:
    inspect = _add_verb(
        verbs,
        shared,
        "inspect",
        "say what a checkpoint is: layers, experts, parameters, cache, template",
        "Only its header is read, also of a checkpoint on the hub.",
    )
    inspect.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        type=_text,
        help="a GGUF file, a name of the library, owner/repository/file.gguf, or an address",
    )


def _add_plan(verbs: Any, shared: Parser) -> None:
    plan = _add_verb(
        verbs,
        shared,
        "plan",
        "say which settings to use, what every device will hold and how fast it will be",
        "Nothing is loaded or downloaded: headers are enough. Everything that is not fixed here is "
        "chosen. Exits with 1 when it does not fit.",
    )
    add_plan_options(plan, max_tokens=_MAX_TOKENS)


def _add_library(verbs: Any, shared: Parser) -> None:
    search = _add_verb(
        verbs,
        shared,
        "search",
        "look for GGUF repositories on the hub",
        'Without words it looks for "deepseek". Exits with 1 when nothing is found.',
    )
    add_search_options(search, _whole(1, _MAX_HITS))
    pull = _add_verb(
        verbs,
        shared,
        "pull",
        "fetch a checkpoint from the hub and check it",
        "Stopped with Ctrl-C or killed, the same command goes on where it was. The path of the "
        "checkpoint goes to standard output when it is there.",
        json_help="print one JSON object a line while it comes, and nothing else",
    )
    add_pull_options(pull)
    _add_verb(verbs, shared, "ls", "list the checkpoints of the library", "")
    verify = _add_verb(
        verbs,
        shared,
        "verify",
        "read a whole checkpoint and say whether it is intact",
        "It is compared with the digests of the hub it came from. Exits with 1 when it is not.",
    )
    add_verify_options(verify)
    rm = _add_verb(
        verbs,
        shared,
        "rm",
        "delete a checkpoint of the library",
        "It is shown what goes, and asked. Where the system has a trash, it goes there.",
    )
    add_rm_options(rm)


def _add_bench(verbs: Any, shared: Parser) -> None:
    bench = _add_verb(
        verbs,
        shared,
        "bench",
        "measure how fast a checkpoint is, or this machine",
        "A checkpoint's own speed is shown beside its prediction, which learns from it. With "
        "--calibrate the machine is measured in under a minute, and predictions with it; a "
        "checkpoint named then need not be on this machine: a few layers like its own are made.",
    )
    bench.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        nargs="?",
        type=_text,
        help="a GGUF file or a name of the library; with --calibrate also one on the hub",
    )
    bench.add_argument(
        "--calibrate", action="store_true", help="measure the machine and keep what was found"
    )
    bench.add_argument(
        "--depths",
        metavar="N",
        nargs="+",
        type=_whole(0, _MAX_TOKENS),
        help="how many tokens lie in the context already (0 1024 4096)",
    )


def _add_devices(verbs: Any, shared: Parser) -> None:
    _add_verb(
        verbs,
        shared,
        "devices",
        "show what Fathom sees of this machine",
        "Every figure says where it was read.",
    )


def _add_doctor(verbs: Any, shared: Parser) -> None:
    _add_verb(
        verbs,
        shared,
        "doctor",
        "check the installation",
        "Loads the demo checkpoint, decodes some tokens and reports; exits with 1 when something "
        "is wrong. The output is made for bug reports and names no user and no home folder.",
    )


def _add_addons(verbs: Any, shared: Parser) -> None:
    addons = _add_verb(
        verbs,
        shared,
        "addons",
        "list GPU add-ons, add one from a file, remove one",
        "An add-on is added only when the makers of Fathom signed it and it was made for this "
        "version.",
    )
    addons.add_argument(
        "action", metavar="add|rm", nargs="?", choices=("add", "rm"), help="what to do; none: list"
    )
    addons.add_argument(
        "target", metavar="FILE|NAME", nargs="?", help="the file to add, or the name to remove"
    )


def _add_update(verbs: Any, shared: Parser) -> None:
    update = _add_verb(
        verbs,
        shared,
        "update",
        "ask whether there is a newer version",
        'The address that the setting "updates.address" names is asked, for a list that its makers '
        "signed. Nothing is installed.",
    )
    what = update.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only ask (as without any option)")
    what.add_argument(
        "--download",
        metavar="DIR",
        type=Path,
        help="fetch the newer version's file into DIR, check it, and print its path",
    )


def _add_sbom(verbs: Any, shared: Parser) -> None:
    sbom = _add_verb(
        verbs,
        shared,
        "sbom",
        "list what Fathom is made of, with versions and licences",
        "With --json as a bill of materials (CycloneDX 1.6).",
    )
    sbom.add_argument(
        "--folder",
        metavar="DIR",
        type=Path,
        help="list the files of a build too, each with its SHA-256 (with --json)",
    )


def _with_flag(arguments: Sequence[str]) -> list[str]:
    """Take ``fathom FILE.gguf`` for ``fathom --model FILE.gguf``: so file managers open files."""
    opens_file = bool(arguments) and arguments[0].lower().endswith(".gguf")
    if opens_file and not arguments[0].startswith("-"):
        return ["--model", *arguments]
    return list(arguments)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; bad ones end the process with one line and code 2."""
    parser = build_parser()
    defaults = argparse.Namespace(base_dir=None, debug=False)
    options = parser.parse_args(_with_flag(arguments), namespace=defaults)
    if options.verb:
        for name, flag in _WINDOW_OPTIONS.items():
            if getattr(options, name) is not None:
                parser.error(f"{flag} is for the window and does not go with {options.verb}")
    return options
