"""The disk image for macOS: which of Apple's tools are called, in which order. No Mac is needed.

The tools are stand-ins that write down how they were called: there is no other way to look at the
script where it cannot run.
"""

from __future__ import annotations

import os
import plistlib
import subprocess
from pathlib import Path

import pytest

from models.version import VERSION

SCRIPT = Path(__file__).parents[2] / "app/packaging/macos/make_dmg.sh"
KEYS = {"IDENTITY": "Developer ID Ä", "NOTARY_USER": "me", "NOTARY_TEAM": "T"}
_TOOL = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "$CALLS"
case "$name" in
uname) echo arm64 ;;
file) case "$2" in *.txt) echo text ;; *) echo "Mach-O 64-bit" ;; esac ;;
xcrun) echo "<string>${APPLE:-Accepted}</string>" ;;
ditto) [ $# -ne 2 ] || cp -R "$1" "$2" ;;
esac
"""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder with a bundle as PyInstaller makes it, in a place with a space in its name."""
    folder = tmp_path / "my dist"
    inside = folder / "Fathom.app/Contents"
    for name in ("MacOS/fathom", "Frameworks/Qt Core.framework/Versions/A/QtCore", "a.txt"):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).touch()
    return folder


def _run(dist: Path, **env: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    tools = dist.parent / "tools"
    tools.mkdir()
    for name in ("codesign", "ditto", "file", "hdiutil", "uname", "xcrun"):
        (tools / name).write_text(_TOOL, encoding="utf-8")
        (tools / name).chmod(0o755)
    calls = dist.parent / "calls"
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(SCRIPT)],
        env={"PATH": path, "CALLS": str(calls), "DIST": str(dist), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
    return done, [line for line in lines if not line.startswith(("file ", "uname "))]


def test_without_keys_nothing_is_signed_or_sent(dist: Path) -> None:
    done, calls = _run(dist)
    assert done.returncode == 0, done.stderr
    image = dist / f"fathom-{VERSION}-macos-aarch64.dmg"
    assert done.stdout == f"{image}\n"
    assert [line.split()[0] for line in calls] == ["codesign", "ditto", "hdiutil"]
    assert calls[0] == f"codesign --verify --deep --strict {dist}/Fathom.app"
    assert calls[2].endswith(f" {image}")


def test_with_keys_the_inside_is_signed_first_and_apple_is_asked_twice(dist: Path) -> None:
    done, calls = _run(dist, **KEYS, NOTARY_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    signed = [line for line in calls if line.startswith("codesign --force")]
    inside, framework, bundle, image = signed[:2], signed[2], signed[3], signed[4]
    assert {line.rpartition("/")[2] for line in inside} == {"fathom", "QtCore"}
    assert framework.endswith("Qt Core.framework")
    assert bundle.endswith("/Fathom.app")
    assert "entitlements.plist" in bundle
    assert image.endswith(".dmg")
    assert all("--sign Developer ID Ä " in line for line in signed)
    assert all("--options runtime" in line for line in signed[:4])
    asked = [line for line in calls if line.startswith("xcrun")]
    assert [line.split()[1] for line in asked] == ["notarytool", "stapler"] * 2
    # The program carries its ticket before it goes into the image, and the image is signed then.
    order = [calls.index(line) for line in (bundle, asked[1], image, asked[3])]
    assert order == sorted(order)
    assert "secret" not in done.stdout + done.stderr


def test_what_apple_refuses_is_no_image(dist: Path) -> None:
    done, calls = _run(dist, **KEYS, NOTARY_PASSWORD="secret", APPLE="Invalid")
    assert done.returncode == 1
    assert "Apple has not accepted Fathom.zip" in done.stderr
    assert "Invalid" in done.stderr
    assert not [line for line in calls if line.startswith("hdiutil")]


def test_what_is_missing_is_said(dist: Path) -> None:
    done, _ = _run(dist, NOTARY_USER="me")
    assert done.returncode == 1
    assert "set IDENTITY" in done.stderr
    done = subprocess.run(
        [str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "DIST": str(dist / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "freeze the program first" in done.stderr


def test_the_only_right_that_is_asked_for() -> None:
    rights = plistlib.loads((SCRIPT.parent / "entitlements.plist").read_bytes())
    assert rights == {"com.apple.security.cs.allow-unsigned-executable-memory": True}
