"""What the reader is told when a verb fails, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.failures import guarded
from models.errors import NotGgufError, OutOfMemoryError
from models.log import configure


def fail_with(error: BaseException):
    def verb() -> int:
        raise error

    return verb


def test_a_good_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: 0, json_output=False, log_file=None) == 0
    assert capsys.readouterr() == ("", "")


def test_bad_input_is_one_line_and_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotGgufError("It is no GGUF\nfile.", hint="Look again.", details="bytes")
    assert guarded(fail_with(error), json_output=False, log_file=None) == 2
    assert capsys.readouterr() == ("", "fathom: It is no GGUF file. Look again.\n")


def test_a_failure_is_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    error = OutOfMemoryError("No room.")
    assert guarded(fail_with(error), json_output=False, log_file=None) == 1
    assert capsys.readouterr().err == "fathom: No room.\n"


def test_json_output_has_the_error_as_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotGgufError("No.", hint="Look.", details="bytes")
    assert guarded(fail_with(error), json_output=True, log_file=None) == 2
    out, err = capsys.readouterr()
    expected = {"code": "not_gguf", "message": "No.", "hint": "Look.", "details": "bytes"}
    assert json.loads(out) == {"error": expected}
    assert err == "fathom: No. Look.\n"


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(fail_with(KeyboardInterrupt()), json_output=False, log_file=None) == 130
    assert capsys.readouterr().err == "fathom: Stopped.\n"


def test_a_bug_leaves_its_traceback_in_the_log_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], allow_logs
) -> None:
    allow_logs("Crash of the command line")
    setup = configure(tmp_path)
    try:
        code = guarded(
            fail_with(ZeroDivisionError("secret")), json_output=False, log_file=setup.file
        )
    finally:
        setup.close()
    out, err = capsys.readouterr()
    assert (code, out) == (70, "")
    assert len(err.splitlines()) == 1
    assert str(setup.file) in err
    assert "Traceback" not in err
    assert "ZeroDivisionError: secret" in (tmp_path / "fathom.log").read_text()


def test_a_bug_without_a_log_file_shows_its_traceback(
    capsys: pytest.CaptureFixture[str], allow_logs
) -> None:
    allow_logs("Crash of the command line")
    assert guarded(fail_with(ZeroDivisionError()), json_output=False, log_file=None) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_failure_worth_a_word(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from app.cli.failures import guarded\n"
        "def verb():\n"
        "    sys.stdin.readline()\n"
        "    print('x' * 100000, flush=True)\n"
        "    return 0\n"
        "sys.exit(guarded(verb, json_output=False, log_file=None))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdin
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        child.stdin.write(b"go\n")
        child.stdin.close()
        assert child.wait(30) == 141
        assert child.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize(
    ("ending", "exit_code", "words"),
    [(">/dev/full", 1, "no room left"), (">&-", 0, "")],
)
def test_a_full_or_closed_output_is_no_bug(ending: str, exit_code: int, words: str) -> None:
    code = (
        "import sys\n"
        "from app.cli.failures import guarded\n"
        "def verb():\n"
        "    print('an answer')\n"
        "    return 0\n"
        "sys.exit(guarded(verb, json_output=False, log_file=None))\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {ending}', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == exit_code
    assert words in done.stderr
    assert "bug" not in done.stderr
