"""Updates in the frozen program: whose signature is believed, with keys of the test in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.fake_hub import CERTIFICATE
from helpers.frozen_program import FrozenProgram, changed_program
from helpers.release_site import ReleaseSite, new_key, release_site
from models.updates.platforms import platform_name

KEY, PUBLIC = new_key()
STRANGER_KEY, _ = new_key()
NEWER = "99.0.0"
DATA = b"an installer" * 1000


def key_list(*keys: bytes) -> bytes:
    """Return a list of public keys, as it comes with the program."""
    listed = [{"id": "test", "public": base64.b64encode(key).decode()} for key in keys]
    return json.dumps({"ed25519": listed}).encode()


@pytest.fixture
def site(base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseSite]:
    """Where releases lie; the settings lead there."""
    # Certificates are the system's: none are shipped.
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with release_site() as running:
        settings = base_dir / "config" / "settings.toml"
        settings.parent.mkdir(parents=True, mode=0o700)
        settings.write_text(f'[updates]\naddress = "{running.manifest_url}"\n', encoding="utf-8")
        yield running


@pytest.fixture
def keyed(frozen: FrozenProgram, tmp_path: Path) -> FrozenProgram:
    """The program as its makers would build it, had they these keys."""
    keys = key_list(PUBLIC)
    return changed_program(frozen, tmp_path / "fathom", {"resources/updates/keys.json": keys})


def offer(site: ReleaseSite, version: str = NEWER) -> None:
    """Offer a release for this platform, signed by the makers."""
    (file,) = site.payload(version, f"fathom-{version}.bin", DATA)["files"]
    site.files[f"/{file['name']}"] = DATA
    site.offer(KEY, version, DATA, files=[{**file, "platform": platform_name()}])


def test_what_the_makers_signed_is_fetched_and_checked(
    keyed: FrozenProgram, site: ReleaseSite, base_dir: Path, tmp_path: Path
) -> None:
    offer(site)
    folder = tmp_path / "downloads"
    folder.mkdir()
    told = json.loads(keyed.output("update", "--download", folder, "--json", "--basedir", base_dir))
    assert (told["standing"], told["version"]) == ("newer", NEWER)
    (fetched,) = folder.iterdir()
    assert told["path"] == str(fetched)
    assert fetched.read_bytes() == DATA
    # Nothing is made ready to run.
    assert fetched.stat().st_mode & 0o111 == 0


def test_what_somebody_else_signed_is_refused(
    keyed: FrozenProgram, site: ReleaseSite, base_dir: Path
) -> None:
    site.offer(STRANGER_KEY, NEWER, DATA)
    line = keyed.refusal("update", "--basedir", base_dir)
    assert "sign" in line
    assert NEWER not in line


def test_a_payload_changed_after_it_was_signed_is_refused(
    keyed: FrozenProgram, site: ReleaseSite, base_dir: Path
) -> None:
    offer(site)
    signed = site.files["/manifest.json"]
    site.files["/manifest.json"] = signed.replace(NEWER.encode(), b"99.0.1")
    assert site.files["/manifest.json"] != signed
    assert "sign" in keyed.refusal("update", "--basedir", base_dir)


def test_a_file_other_than_was_signed_is_refused(
    keyed: FrozenProgram, site: ReleaseSite, base_dir: Path, tmp_path: Path
) -> None:
    offer(site)
    site.files[f"/fathom-{NEWER}.bin"] = DATA.replace(b"an", b"no")
    folder = tmp_path / "downloads"
    folder.mkdir()
    done = keyed.run("update", "--download", folder, "--json", "--basedir", base_dir)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert [path for path in folder.iterdir() if path.suffix == ".bin"] == []


def test_keys_come_with_the_program_only(
    keyed: FrozenProgram, frozen: FrozenProgram, site: ReleaseSite, base_dir: Path
) -> None:
    """The program under test does not know the test's key: whoever builds it has to put it in."""
    offer(site)
    done = frozen.run("update", "--basedir", base_dir)
    assert (done.returncode == 0, done.stdout) == (False, "")
    assert done.stderr.startswith("fathom: ")
    assert done.stderr.count("\n") == 1
    assert f"Fathom {NEWER} of" in keyed.output("update", "--basedir", base_dir)
