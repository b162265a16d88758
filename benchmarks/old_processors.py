"""The frozen program on old processors: whole machines, emulated, with a kernel and nothing else.

    apt-get install qemu-system-x86 && apt-get download linux-image-cloud-amd64 ...
    python -m benchmarks.old_processors --kernel vmlinuz [--program dist/fathom] [--cpu Nehalem ...]
        [--out FOLDER] [--json]

Each machine boots from memory: the program, this system's shell and the libraries that the program
expects of a system (found by ldd). QEMU translates every instruction and refuses those that the
named processor does not have, as that processor would; KVM would not. Nothing is installed, root
is not needed. Speeds say nothing: a translated instruction takes some fifty times as long.

For every processor: whether ``doctor`` finds all well, whether ``run demo`` answers and by which of
ggml's modules, and whether the window comes (offscreen, with a picture) or says why it cannot.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Name in QEMU, and the first year of such a processor. The rest are of the last ten years.
CPUS = {
    "core2duo": "2006",
    "Opteron_G3": "2007",
    "Penryn": "2008",
    "Nehalem": "2008",
    "Westmere": "2010",
    "SandyBridge": "2011",
    "Opteron_G5": "2012",
    "Denverton": "2017, Atom",
    "Haswell": "2013",
}
_TOOLS = (
    "sh",
    "mount",
    "mkdir",
    "cat",
    "tar",
    "gzip",
    "base64",
    "stty",
    "timeout",
    "ldd",
    "env",
    "cut",
)
_MEMORY_MB = 3072
_LIMIT_S = 2000
# The doctor's last check decodes 48 tokens, for which it has not patience enough here.
_STEP_LIMITS_S = {"doctor": 150, "run": 700, "devices": 100, "window": 400}
_PLACE = "opt/fathom"
_ASK = "--prompt 'Say hello.' --max-tokens 2 --temp 0 --ctx 512"
_STEPS = {
    "doctor": "doctor",
    "run": f"run demo {_ASK} --json",
    "devices": "devices --json",
    "window": "--demo-question 'Hi.' --screenshot /out/window.png",
}
# Few words in the window, too.
_SETTINGS = "[chat]\nmax_tokens = 4\n"
_DONE = re.compile(r"^@@ (\w+) (\d+) ", re.M)


@dataclass(frozen=True)
class Found:
    """What one processor did.

    Attributes:
        codes: step -> exit code.
        texts: step -> everything that it printed.
        picture: of the window, empty where there was none.
    """

    cpu: str
    codes: dict[str, int]
    texts: dict[str, str]
    picture: bytes

    def row(self) -> dict[str, str]:
        """Return what goes into the table."""
        return {
            "cpu": self.cpu,
            "since": CPUS.get(self.cpu, ""),
            "doctor": self._doctor(),
            "run": self._word("run"),
            "used": self._used(),
            "window": "picture" if self.picture else self._last_line("window"),
        }

    def _word(self, step: str) -> str:
        code = self.codes.get(step)
        return "works" if code == 0 else "no end" if code is None else f"exit code {code}"

    def _doctor(self) -> str:
        """Return what failed; the last check is left out, see ``_STEP_LIMITS_S``."""
        lines = self.texts.get("doctor", "").splitlines()
        failed = [line.split()[1] for line in lines if re.match(r"fail +(?!decode)", line)]
        ended = any(line.startswith("ok    demo") for line in lines)
        return f"{', '.join(failed)} failed" if failed else "all well" if ended else "did not end"

    def _last_line(self, step: str) -> str:
        lines = self.texts.get(step, "").strip().splitlines()
        return lines[-1] if lines else self._word(step)

    def _used(self) -> str:
        """Return the features of the module that ggml took, as its backend tells them."""
        for line in self.texts.get("devices", "").splitlines():
            if line.startswith("{"):
                return " ".join(json.loads(line)["cpu"].get("engine_features", [])) or "?"
        return "?"


def libraries(files: Iterable[Path]) -> set[Path]:
    """Return every library of this system that the files need, by the names that are looked up."""
    found: set[Path] = set()
    for file in files:
        done = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False)
        found |= {Path(match) for match in re.findall(r"(?:=> |^\t)(/\S+) \(", done.stdout, re.M)}
    return found


def is_elf(path: Path) -> bool:
    """Tell whether a file is a program or library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def system_files(program: Path) -> dict[str, Path]:
    """Return the system's part of the machine: place there -> file here."""
    tools = {name: path for name in _TOOLS if (path := shutil.which(name))}
    inside = [path for path in program.rglob("*") if path.is_file() and is_elf(path)]
    needed = libraries([*inside, *map(Path, tools.values())])
    files = {str(path)[1:]: path for path in needed if not path.is_relative_to(program)}
    files |= {f"bin/{name}": Path(path) for name, path in tools.items()}
    fonts = Path("/etc/fonts")
    found = fonts.rglob("*") if fonts.is_dir() else ()
    words = Path("/usr/lib/locale/C.utf8")
    more = [*found, *(words.rglob("*") if words.is_dir() else ())]
    return files | {str(path)[1:]: path for path in more if path.is_file()}


def init_script(chosen: Iterable[str]) -> str:
    """Return what the kernel starts: the steps, and all that came of them over the second line."""
    steps = "\n".join(
        f"timeout {_STEP_LIMITS_S[name]} /{_PLACE}/fathom {words} </dev/null >/out/{name}.txt 2>&1"
        f"; echo @@ {name} $? $(cut -d. -f1 /proc/uptime) s"
        for name, words in _STEPS.items()
        if name in chosen
    )
    return f"""#!/bin/sh
export PATH=/bin HOME=/root LANG=C.UTF-8 QT_QPA_PLATFORM=offscreen
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p -m 700 /root/.config/fathom
echo '{_SETTINGS}' > /root/.config/fathom/settings.toml
{steps}
stty -F /dev/ttyS1 raw
tar -c -C /out . | gzip | base64 > /dev/ttyS1
echo @@ end 0 .
echo o > /proc/sysrq-trigger
while :; do read -r nothing < /dev/console; done
"""


def archive(program: Path, chosen: Iterable[str]) -> Iterator[bytes]:
    """Yield a machine's memory disk, in the form that the kernel unpacks (cpio, "newc")."""
    folders: set[str] = set()

    def above(place: str) -> Iterator[bytes]:
        for parent in reversed(Path(place).parents[:-1]):
            if str(parent) not in folders:
                folders.add(str(parent))
                yield entry(str(parent), 0o040755, b"")

    for folder in ("proc", "sys", "dev", "tmp", "out", "root"):
        folders.add(folder)
        yield entry(folder, 0o040755, b"")
    yield entry("init", 0o100755, init_script(chosen).encode())
    for place, path in sorted(system_files(program).items()):
        yield from above(place)
        yield entry(place, 0o100755, path.read_bytes())
    for path in sorted(program.rglob("*")):
        place = f"{_PLACE}/{path.relative_to(program)}"
        yield from above(place)
        if path.is_symlink():
            yield entry(place, 0o120777, os.fsencode(path.readlink()))
        elif path.is_file():
            yield entry(place, 0o100755, path.read_bytes())
    yield entry("TRAILER!!!", 0, b"")


def entry(name: str, mode: int, data: bytes) -> bytes:
    """Return one file, folder or link (Documentation/driver-api/early-userspace/buffer-format)."""
    encoded = os.fsencode(name) + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def boot(cpu: str, kernel: Path, disk: Path, folder: Path) -> Found:
    """Run one machine to its end and return what came of it."""
    line, console = folder / f"{cpu}.out", folder / f"{cpu}.console"
    # One processor: two threads of ggml wait for each other by spinning.
    command = [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-smp", "1",
        "-m", str(_MEMORY_MB), "-kernel", str(kernel), "-initrd", str(disk), "-no-reboot",
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init",
        "-display", "none", "-nic", "none", "-serial", f"file:{console}", "-serial", f"file:{line}",
    ]  # fmt: skip
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, check=True, timeout=_LIMIT_S)
    said = console.read_text(encoding="utf-8", errors="replace").replace("\r", "")
    codes = {name: int(code) for name, code in _DONE.findall(said)}
    files = unpacked(line)
    texts = {name: files.get(f"./{name}.txt", b"").decode(errors="replace") for name in _STEPS}
    return Found(cpu, codes, texts, files.get("./window.png", b""))


def unpacked(line: Path) -> dict[str, bytes]:
    """Return the files that a machine sent; none when it did not come so far."""
    data = line.read_bytes() if line.exists() else b""
    if not data.strip():
        return {}
    raw = gzip.decompress(base64.b64decode(data))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {
            member.name: file.read()
            for member in tar
            if member.isfile() and (file := tar.extractfile(member))
        }


def main() -> int:
    """Boot every machine, keep what it said, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", type=Path, help="a kernel with an initial RAM disk built in")
    parser.add_argument("--program", type=Path, default=ROOT / "dist" / "fathom")
    parser.add_argument("--cpu", action="append", help="names of QEMU (default: the list here)")
    parser.add_argument("--step", action="append", choices=_STEPS, help="default: all")
    parser.add_argument("--out", type=Path, help="keep what the machines printed, and the pictures")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kernel = options.kernel or max(Path("/boot").glob("vmlinuz*"), default=None)
    if kernel is None or shutil.which("qemu-system-x86_64") is None:
        print("Not measured: install qemu-system-x86, and name a kernel with --kernel.")
        return 0
    if not (options.program / "fathom").is_file():
        print("Not measured: run 'make package' first.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder, "disk")
        with disk.open("wb") as file:
            file.writelines(archive(options.program.resolve(), options.step or _STEPS))
        for cpu in options.cpu or CPUS:
            out = options.out or Path(folder)
            out.mkdir(exist_ok=True)
            found = boot(cpu, kernel, disk, out)
            for name, text in found.texts.items():
                (out / f"{cpu}-{name}.txt").write_text(text, encoding="utf-8")
            (out / f"{cpu}.png").write_bytes(found.picture)
            row = found.row()
            print(json.dumps(row) if options.json else " | ".join(row.values()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
