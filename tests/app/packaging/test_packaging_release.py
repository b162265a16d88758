"""What is published: names, digests, the description, the signed manifest, and their check."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.packaging import published, smoke
from app.packaging.release import check_tag, main
from app.packaging.release_check import verify
from models.errors import BadInputError, UpdateRefusedError
from models.updates.manifest import open_envelope
from models.version import VERSION

URL = "https://example.org/releases/download/v1"
NAMES = (
    f"fathom_{VERSION}_amd64.deb",
    f"fathom-{VERSION}-linux-x86_64.AppImage",
    f"fathom-{VERSION}-linux-x86_64.tar.gz",
    f"fathom-{VERSION}-windows-x86_64.exe",
    f"fathom-{VERSION}-macos-aarch64.dmg",
    f"fathom-{VERSION}-macos-x86_64.dmg",
)
BILL = f"fathom-{VERSION}-linux-x86_64.cdx.json"
ADDON = f"fathom-addon-cuda-{VERSION}-linux-x86_64.tar.gz"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder as the builds of all systems leave it."""
    folder = tmp_path / "dist"
    (folder / "fathom").mkdir(parents=True)
    for name in (*NAMES, ADDON, ".hidden"):
        (folder / name).write_bytes(name.encode())
    component = {"component": {"name": "Fathom", "version": VERSION}}
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": component}
    (folder / BILL).write_text(json.dumps(bill))
    (folder / NAMES[0]).chmod(0o600)
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key, and the file with its public part."""
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key.pem", tmp_path / "keys.json"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    raw = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    public.write_text(json.dumps({"ed25519": [{"id": "test", "public": raw}]}))
    return private, public


def collected(dist: Path, *more: str) -> Path:
    out = dist / "release"
    assert main(["collect", str(dist), "--out", str(out), "--url", URL, *more]) == 0
    return out


def test_everything_is_there_with_its_digest(dist: Path) -> None:
    out = collected(dist)
    listed = (out / published.SUMS).read_text().splitlines()
    assert [line.split("  ")[1] for line in listed] == sorted((*NAMES, ADDON, BILL))
    for line in listed:
        sha256, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == sha256
    # Whatever the umask of the build was.
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o644}
    check = ["sha256sum", "--check", "--strict", "--quiet", published.SUMS]
    assert subprocess.run(check, cwd=out, check=False).returncode == 0


def test_the_same_files_make_the_same_release(
    dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("one", "two"):
        assert main(["collect", str(dist), "--out", str(tmp_path / name), "--url", URL]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_description_is_what_a_manifest_is_made_of(
    dist: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = collected(dist)
    assert main(["sign", str(out), "--key", str(keys[0])]) == 0
    envelope = (out / published.MANIFEST).read_bytes()
    public = json.loads(keys[1].read_text())["ed25519"][0]["public"]
    manifest = open_envelope(envelope, [base64.b64decode(public)])
    assert manifest.version == VERSION
    assert manifest.expires - manifest.date == published.LIFE
    files = {file.name: file for file in manifest.files}
    assert files.keys() == set(NAMES), "add-ons and bills are no updates"
    assert files[NAMES[0]].url == f"{URL}/{NAMES[0]}"
    # What runs everywhere comes before what one family of systems installs.
    assert [file.kind for file in manifest.files_for("linux-x86_64")] == [
        "appimage", "tar.gz", "deb",
    ]  # fmt: skip
    capsys.readouterr()
    assert main(["verify", str(out), "--keys", str(keys[1])]) == 0
    assert "8 files are as listed, 1 with what is in them. The manifest is signed" in (
        capsys.readouterr().out
    )


def test_a_release_without_a_key_is_good_and_says_so(dist: Path) -> None:
    assert verify(collected(dist)).endswith("There is no manifest.")


def damage_a_file(out: Path) -> None:
    (out / NAMES[0]).write_bytes(b"other")


def remove_a_file(out: Path) -> None:
    (out / NAMES[1]).unlink()


def add_a_file(out: Path) -> None:
    (out / "evil.exe").touch()


def list_nonsense(out: Path) -> None:
    with (out / published.SUMS).open("a") as file:
        file.write("nonsense\n")


def no_sums(out: Path) -> None:
    (out / published.SUMS).unlink()


def other_bill(out: Path) -> None:
    (out / BILL).write_text("{}")
    (out / published.SUMS).write_text(published.sums(out, (*NAMES, ADDON, BILL)))


def changed_after_signing(out: Path) -> None:
    (out / NAMES[0]).write_bytes(b"other")
    (out / published.SUMS).write_text(published.sums(out, (*NAMES, ADDON, BILL)))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damage_a_file, f"{NAMES[0]} is not the file that"),
        (remove_a_file, "The files are not those of"),
        (add_a_file, "The files are not those of"),
        (list_nonsense, "lines that make no sense"),
        (no_sums, "There is no release in"),
        (other_bill, "is no bill of materials"),
        (changed_after_signing, "The manifest is of other files"),
    ],
)
def test_what_verify_refuses(
    dist: Path, keys: tuple[Path, Path], harm: Callable[[Path], None], words: str
) -> None:
    out = collected(dist)
    assert main(["sign", str(out), "--key", str(keys[0])]) == 0
    harm(out)
    with pytest.raises(BadInputError, match=words):
        verify(out, keys[1])
    assert main(["verify", str(out), "--keys", str(keys[1])]) == 2


def test_a_manifest_by_another_key_is_refused(dist: Path, keys: tuple[Path, Path]) -> None:
    out = collected(dist)
    assert main(["sign", str(out), "--key", str(keys[0])]) == 0
    keys[1].write_text('{"ed25519": []}')
    with pytest.raises(UpdateRefusedError):
        verify(out, keys[1])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notes.txt", "no file of a release"),
        ("fathom-0.0.9-windows-x86_64.exe", "another version"),
        (f"fathom-{VERSION}-linux-x86_64.exe", "no file of a release"),
    ],
)
def test_what_is_not_known_is_not_published(dist: Path, name: str, words: str) -> None:
    (dist / name).touch()
    with pytest.raises(BadInputError, match=words):
        published.find(dist)
    assert main(["collect", str(dist), "--out", str(dist / "release")]) == 2
    assert not (dist / "release").exists()


def test_collect_refuses_an_empty_folder_a_full_one_and_plain_http(
    dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = collected(dist)
    for words in (
        ["collect", empty, "--out", tmp_path / "new"],
        ["collect", tmp_path / "nowhere", "--out", tmp_path / "new"],
        ["collect", dist, "--out", out],
        ["collect", dist, "--out", tmp_path / "new", "--url", "http://example.org"],
        ["sign", empty, "--key", tmp_path / "none.pem"],
        ["bill", empty, "--out", tmp_path / "new"],
    ):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_tag_has_to_say_the_version_and_the_changelog_its_day(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_tag(f"v{VERSION}", f"# Changelog\n\n## {VERSION} (2030-12-31)\n\n- New.\n")
    with pytest.raises(BadInputError, match="The tag is v9"):
        check_tag("v9.9.9", "")
    with pytest.raises(BadInputError, match="does not say when"):
        check_tag(f"v{VERSION}", f"## {VERSION} (unreleased)\n")
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{VERSION}\n"
    assert main(["version", "--tag", "v9.9.9"]) == 2


def test_notes_are_those_of_this_version() -> None:
    text = f"# Changelog\n\n## {VERSION} (2030-12-31)\n\n- New.\n\n## 0.0.1\n\n- Old.\n"
    assert published.notes(text) == "- New."
    assert published.notes("## 9.9\n") == ""
    long = published.notes(f"## {VERSION}\n" + "- More.\n" * 1000)
    assert len(long) <= 4000
    assert long.endswith("\n...")


def test_the_moment_is_that_of_the_commit(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    release = json.loads((collected(dist) / published.RELEASE).read_text())
    assert release["date"] == datetime.fromtimestamp(1_700_000_000, UTC).isoformat()


@pytest.mark.parametrize("says", ["print('{}')", "raise SystemExit(3)", "print('{}', file=2)"])
def test_the_bill_comes_from_the_program_itself(tmp_path: Path, says: str) -> None:
    """A program that fails, or complains beside it, has told nothing."""
    if sys.platform == "win32":
        pytest.skip("a script is no program there")
    program = tmp_path / "program"
    program.mkdir()
    file = program / "fathom"
    file.write_text(f"#!{sys.executable}\nimport sys\nassert sys.argv[1] == 'sbom'\n{says}\n")
    file.chmod(0o755)
    code = main(["bill", str(program), "--out", str(tmp_path / "out")])
    bill = tmp_path / "out" / published.bill_name()
    assert (code, bill.exists()) == ((0, True) if says == "print('{}')" else (2, False))


@pytest.mark.parametrize(
    ("fails", "code", "words"),
    [("", 0, "the window: good"), ("doctor", 1, "doctor: exit code 3"), ("noise", 1, "unasked")],
)
def test_smoke_takes_a_program_that_says_no_more_than_it_should(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: str, code: int, words: str
) -> None:
    """The real one is tried by the release workflow; here is what the attempt itself sees."""
    if sys.platform == "win32":
        pytest.skip("a script is no program there")
    file = tmp_path / "fathom"
    file.write_text(
        f"#!{sys.executable}\nimport os, sys\nwords, fails = sys.argv[1:], {fails!r}\n"
        "if fails in words: sys.exit(3)\n"
        f"if words == ['--version']: print('Fathom {VERSION}')\n"
        "elif words[0] == 'doctor': print('{\"ok\": true}')\n"
        "elif words[0] == 'run':\n"
        "    print('Hello')\n"
        "    print('fathom: 3 tokens at 2.5 tok/s, first token after 1 s', file=sys.stderr)\n"
        "else:\n"
        "    picture = words[words.index('--screenshot') + 1]\n"
        "    with open(picture, 'wb') as file: file.write(b'\\x89PNG')\n"
        "    assert os.environ['QT_QPA_PLATFORM'] == 'offscreen'\n"
        "if fails == 'noise': print('unasked', file=sys.stderr)\n"
    )
    file.chmod(0o755)
    assert smoke.main([str(tmp_path)]) == code
    assert words in capsys.readouterr().out
    assert smoke.main([str(tmp_path / "nowhere")]) == 2
