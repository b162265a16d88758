"""The frozen program as its user runs it; what it prints beyond the expected fails the test."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

LIMIT_S = 120.0
OTHER_USER = 65534
# Set to a value of its own in each test: whoever has it was started by that test.
MARK = "FROZEN_TEST_MARK"
# The last line of ``fathom run``, on standard error.
RUN_FIGURES = re.compile(r"fathom: \d+ tokens? at [\d.]+ tok/s, first token after .*\n")
DEMO_FIGURES = re.compile(r"^[\d.]+ tok/s, first token after [\d.]+ m?s, \d+ tokens, ", re.M)


@dataclass(frozen=True)
class FrozenProgram:
    """A folder that ``make package`` made, or a copy of it.

    Attributes:
        folder: where it lies.
        wrapper: another program with its arguments that runs it.
        env: variables laid over those of the test.
    """

    folder: Path
    wrapper: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The executable."""
        return self.folder / "fathom"

    @property
    def inside(self) -> Path:
        """Where its libraries and resources lie."""
        return self.folder / "_internal"

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command line."""
        return [*self.wrapper, str(self.file), *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        """Return the environment: nothing of it may make the program find the checkout."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, **self.env}

    def run(
        self, *arguments: str | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; neither output is a terminal."""
        return subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
            env=self.environment(),
            cwd=cwd,
        )

    def output(self, *arguments: str | Path, stderr: str = "") -> str:
        """Return what it prints; fail when it fails or says anything but ``stderr`` beside it.

        Args:
            stderr: regular expression for the whole of standard error.
        """
        done = self.run(*arguments)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        assert re.fullmatch(stderr, done.stderr), done.stderr
        return done.stdout

    def refusal(self, *arguments: str | Path, code: int = 1) -> str:
        """Return the one line with which it fails; fail when it does not, or says more."""
        done = self.run(*arguments)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert done.stdout == ""
        match = re.fullmatch(r"fathom: (.+)\n", done.stderr)
        assert match, done.stderr
        return match[1]

    @contextlib.contextmanager
    def running(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start it; killed with its children at the end unless it has ended."""
        with subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=self.environment(),
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


def copy_program(program: FrozenProgram, folder: Path) -> FrozenProgram:
    """Copy the program; links stay links."""
    shutil.copytree(program.folder, folder, symlinks=True)
    return replace(program, folder=folder)


def changed_program(
    program: FrozenProgram, folder: Path, changes: Mapping[str, bytes | None]
) -> FrozenProgram:
    """Return a copy in which some files are others, or are missing (None).

    The rest are the same files under a second name where the disk has room for names: nobody
    writes to them.

    Args:
        changes: patterns below ``_internal`` -> new content; each must fit a file.
    """

    def take(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    shutil.copytree(program.folder, folder, symlinks=True, copy_function=take)
    copy = replace(program, folder=folder)
    for pattern, content in changes.items():
        found = sorted(copy.inside.glob(pattern))
        assert found, pattern
        for path in found:
            # First of all: the content is that of the original, too.
            path.unlink()
            if content is not None:
                path.write_bytes(content)
    return copy


def left_running(mark: str) -> list[psutil.Process]:
    """Return the processes that a test started, and their children, also those of other users."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            is_over = process.status() == psutil.STATUS_ZOMBIE
            if f"{MARK}={mark}".encode() in environment.split(b"\0") and not is_over:
                found.append(process)
    return found


def make_read_only(folder: Path) -> None:
    """Take the right to write away from everybody."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def make_writable(folder: Path) -> None:
    """Give the owner the right to write, so that the folder can be removed."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return size, time of the last change and mode of every file below."""
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (at.st_size, at.st_mtime_ns, at.st_mode) for name, at in found.items()}


def child_of(root: psutil.Process, verb: str) -> psutil.Process | None:
    """Return the child that does ``verb``, None when there is none (yet)."""
    with contextlib.suppress(psutil.Error):
        for child in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[1:2] == [verb]:
                    return child
    return None


def mapped_files(process: psutil.Process) -> set[Path]:
    """Return the files in a process's memory; none when it has ended.

    Not psutil's: it adds up pages, which takes longer than a small checkpoint takes to load.
    """
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()
        return {Path(line[line.index("/") :]) for line in lines if "/" in line}
    return set()


def can_run(wrapper: Sequence[str]) -> bool:
    """Tell whether a tool is there and allowed to do its work."""
    if shutil.which(wrapper[0]) is None:
        return False
    return subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode == 0


def poll(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that nobody signals, as long as the process runs."""
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
            raise AssertionError(f"ended before that: {process.communicate()}")
