"""``fathom update``: whole runs beside a server on loopback that speaks TLS."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.__main__ import main
from helpers.fake_hub import CERTIFICATE
from helpers.fathom_process import assert_one_clear_line, fathom, one_object
from helpers.release_site import ReleaseSite, new_key, release_site
from models.updates.platforms import platform_name
from models.version import VERSION

DATA = b"an installer" * 1000
KEY, PUBLIC = new_key()


@pytest.fixture
def site(base_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseSite]:
    keys = tmp_path / "keys.json"
    public = base64.b64encode(PUBLIC).decode()
    keys.write_text(json.dumps({"ed25519": [{"id": "test", "public": public}]}))
    # The keys are part of the program; nothing in the environment may name others.
    monkeypatch.setattr("models.updates.keys.KEYS_FILE", keys)
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with release_site() as running:
        settings = base_dir / "config" / "settings.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'[updates]\naddress = "{running.manifest_url}"\n')
        yield running


def offer(site: ReleaseSite, version: str, **changed: object) -> None:
    (file,) = site.payload(version, f"fathom-{version}.bin", DATA)["files"]
    site.files[f"/{file['name']}"] = DATA
    site.offer(KEY, version, DATA, files=[{**file, "platform": platform_name()}], **changed)


def test_nobody_is_asked_before_the_user_sets_an_address(base_dir: Path) -> None:
    words = assert_one_clear_line(fathom("update", "--check", "--basedir", base_dir), code=2)
    assert "updates.address" in words
    done = fathom("update", "--json", "--basedir", base_dir)
    assert one_object(done.stdout)["error"]["code"] == "updates_off"


def test_a_newer_version_in_words_and_as_json(
    site: ReleaseSite, base_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(site, "99.0.0", notes="Much \x1b[31mquicker.")
    assert main(["update", "--check", "--basedir", str(base_dir)]) == 0
    shown = capsys.readouterr().out
    assert "Fathom 99.0.0 of" in shown
    assert f"this is {VERSION}" in shown
    assert "\x1b" not in shown
    assert site.asked == ["/manifest.json"]
    assert main(["update", "--json", "--basedir", str(base_dir)]) == 0
    told = one_object(capsys.readouterr().out)
    assert (told["standing"], told["version"], told["path"]) == ("newer", "99.0.0", None)
    assert told["file"]["size_bytes"] == len(DATA)


def test_a_newer_version_is_fetched_and_checked_and_left_there(
    site: ReleaseSite, base_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(site, "99.0.0")
    folder = tmp_path / "here"
    command = ["update", "--download", str(folder), "--basedir", str(base_dir)]
    assert main(command) == 1
    assert "no folder" in capsys.readouterr().err
    folder.mkdir()
    assert main(command) == 0
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert path.read_bytes() == DATA
    assert list(folder.iterdir()) == [path]


def test_up_to_date_and_refused(
    site: ReleaseSite, base_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(site, VERSION)
    command = ["update", "--download", str(tmp_path), "--basedir", str(base_dir)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"Fathom {VERSION} is the newest version.\n"
    assert site.asked == ["/manifest.json"]
    site.files["/manifest.json"] = site.files["/manifest.json"].replace(b"quicker", b"slower!")
    assert main(["update", "--json", "--basedir", str(base_dir)]) == 1
    told = one_object(capsys.readouterr().out)
    assert told["error"]["code"] == "update_refused"


def test_whoever_works_offline_asks_nobody(
    site: ReleaseSite, base_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (base_dir / "config" / "settings.toml").open("a") as file:
        file.write("[hub]\noffline = true\n")
    assert main(["update", "--basedir", str(base_dir)]) == 1
    assert "offline" in capsys.readouterr().err
    assert site.asked == []
