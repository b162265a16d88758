"""A newer version from a real server over TLS: honest, tampered, played again."""

from __future__ import annotations

import dataclasses
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from helpers.fake_hub import CERTIFICATE
from helpers.release_site import PLATFORM, ReleaseSite, new_key, release_site
from models.errors import (
    CorruptDownloadError,
    FathomError,
    InstallationError,
    NetworkError,
    RemoteNotFoundError,
    StoppedError,
    UpdateError,
    UpdatesOffError,
)
from models.network.patience import Patience
from models.transfer.patience import TransferPatience
from models.updates.check import Standing, UpdateSource, check_for_update
from models.updates.fetch import fetch_release
from models.updates.keys import KEYS_FILE, load_keys
from models.updates.seen import SeenReleases
from models.updates.signing import main as sign_release

DATA = bytes(range(256)) * 1000
QUICK = Patience(attempts=2, first_pause_s=0.01)
QUICK_TRANSFER = TransferPatience(first_pause_s=0.01, longest_pause_s=0.05, give_up_s=0.5)
KEY, PUBLIC = new_key()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseSite]:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with release_site() as running:
        yield running


@pytest.fixture
def source(site: ReleaseSite, tmp_path: Path) -> UpdateSource:
    seen = SeenReleases(tmp_path / "data" / "updates.json")
    return UpdateSource(site.manifest_url, [PUBLIC], seen, "0.1.0", PLATFORM, "deb")


def answer(source: UpdateSource, **changed: Any) -> Any:
    return check_for_update(dataclasses.replace(source, **changed), patience=QUICK)


def refusal(source: UpdateSource, **changed: Any) -> str:
    with pytest.raises(FathomError) as caught:
        answer(source, **changed)
    return caught.value.message


def test_a_newer_version_is_found_and_fetched(
    site: ReleaseSite, source: UpdateSource, tmp_path: Path
) -> None:
    site.offer(KEY, "0.2.0", DATA)
    found = answer(source)
    assert found.standing is Standing.NEWER
    assert (found.manifest.version, found.manifest.notes) == ("0.2.0", "It is quicker.")
    assert site.asked == ["/manifest.json"]
    folder = tmp_path / "Downloads"
    folder.mkdir()
    path = fetch_release(found.file, folder, patience=QUICK_TRANSFER)
    assert path.read_bytes() == DATA
    # Nothing else is left there, and nothing could be run.
    assert [one.name for one in folder.iterdir()] == [path.name]
    assert path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH) == 0
    asked = len(site.asked)
    assert fetch_release(found.file, folder) == path
    assert len(site.asked) == asked


def test_the_same_version_is_up_to_date(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(KEY, "0.1", DATA)
    assert answer(source).standing is Standing.UP_TO_DATE


def test_without_an_address_or_a_key_nobody_is_asked(
    site: ReleaseSite, source: UpdateSource
) -> None:
    for changed in ({"address": ""}, {"address": " "}, {"keys": ()}, {"address": "http://x.org"}):
        with pytest.raises(UpdatesOffError):
            answer(source, **changed)
    assert site.asked == []


def test_a_manifest_of_somebody_else_is_refused(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(new_key()[0], "9.0.0", DATA)
    assert "not signed by the makers" in refusal(source)


def test_a_tampered_manifest_is_refused(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(KEY, "0.2.0", DATA)
    envelope = json.loads(site.files["/manifest.json"])
    envelope["payload"] = envelope["payload"].replace(site.address, "https://evil.example")
    site.files["/manifest.json"] = json.dumps(envelope).encode()
    assert "not signed by the makers" in refusal(source)


def test_going_back_is_refused(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(KEY, "0.0.9", DATA)
    assert "older than yours" in refusal(source)


def test_an_old_manifest_that_is_played_again_is_refused(
    site: ReleaseSite, source: UpdateSource
) -> None:
    """It was signed, it is newer than what is installed, and it hides what came after it."""
    last_week = datetime.now(UTC) - timedelta(days=7)
    site.offer(KEY, "0.2.0", DATA, date=last_week.isoformat())
    old = site.files["/manifest.json"]
    assert answer(source).manifest.version == "0.2.0"
    site.offer(KEY, "0.3.0", DATA)
    assert answer(source).manifest.version == "0.3.0"
    site.files["/manifest.json"] = old
    assert "was seen here before" in refusal(source)
    # Whoever has not seen the newer one is kept from it no longer than until it expires.
    fresh = SeenReleases(Path("/nonexistent/updates.json"))
    assert answer(source, seen=fresh).manifest.version == "0.2.0"
    in_a_year = datetime.now(UTC) + timedelta(days=365)
    assert "expired" in refusal(source, seen=fresh, now=in_a_year.timestamp)


def test_what_was_refused_is_not_remembered(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(new_key()[0], "9.0.0", DATA)
    refusal(source)
    site.offer(KEY, "0.0.9", DATA)
    refusal(source)
    assert source.seen.newest() is None


def test_an_expired_one_and_one_of_the_future_are_refused(
    site: ReleaseSite, source: UpdateSource
) -> None:
    before, later = datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) + timedelta(days=9)
    site.offer(
        KEY, "0.2.0", DATA, date=before.isoformat(),
        expires=(before + timedelta(days=1)).isoformat(),
    )  # fmt: skip
    assert "expired" in refusal(source)
    site.offer(KEY, "0.2.0", DATA, date=later.isoformat())
    assert "in the future" in refusal(source)


def test_another_product_is_refused(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(KEY, "0.2.0", DATA, product="other")
    assert "another program" in refusal(source)


def test_a_version_too_old_to_be_updated_is_shown_the_page(
    site: ReleaseSite, source: UpdateSource
) -> None:
    site.offer(KEY, "0.2.0", DATA, minimum_version="0.1.5")
    found = answer(source)
    assert (found.standing, found.file) == (Standing.NEWER, None)
    assert answer(source, platform="windows-x86_64").file is None


def test_a_redirect_out_of_encryption_is_refused(site: ReleaseSite, source: UpdateSource) -> None:
    with release_site(speaks_tls=False) as plain:
        plain.offer(KEY, "0.2.0", DATA)
        site.redirects["/manifest.json"] = plain.manifest_url
        assert "cannot be followed" in refusal(source)
        assert plain.asked == []


def test_a_redirect_within_encryption_is_followed(site: ReleaseSite, source: UpdateSource) -> None:
    site.offer(KEY, "0.2.0", DATA)
    site.redirects["/latest"] = site.manifest_url
    found = answer(source, address=f"{site.address}/latest")
    assert found.standing is Standing.NEWER


def test_the_file_is_not_fetched_without_encryption_either(
    site: ReleaseSite, source: UpdateSource, tmp_path: Path
) -> None:
    site.offer(KEY, "0.2.0", DATA)
    found = answer(source)
    with release_site(speaks_tls=False) as plain:
        plain.files["/f"] = DATA
        site.redirects[f"/{found.file.name}"] = f"{plain.address}/f"
        with pytest.raises(NetworkError):
            fetch_release(found.file, tmp_path, patience=QUICK_TRANSFER)
        assert plain.asked == []
    assert not (tmp_path / found.file.name).exists()


@pytest.mark.parametrize("change", ["a byte", "shorter", "longer"])
def test_a_tampered_file_never_gets_its_name(
    site: ReleaseSite, source: UpdateSource, tmp_path: Path, change: str
) -> None:
    site.offer(KEY, "0.2.0", DATA)
    found = answer(source)
    wrong = {"a byte": b"x" + DATA[1:], "shorter": DATA[:-1], "longer": DATA + b"x"}[change]
    site.files[f"/{found.file.name}"] = wrong
    with pytest.raises((CorruptDownloadError, NetworkError)):
        fetch_release(found.file, tmp_path, patience=QUICK_TRANSFER)
    assert not (tmp_path / found.file.name).exists()


def test_another_file_of_that_name_is_left_alone(
    site: ReleaseSite, source: UpdateSource, tmp_path: Path
) -> None:
    site.offer(KEY, "0.2.0", DATA)
    found = answer(source)
    mine = tmp_path / found.file.name
    mine.write_text("my own")
    with pytest.raises(UpdateError, match="another file"):
        fetch_release(found.file, tmp_path)
    assert mine.read_text() == "my own"
    mine.unlink()
    mine.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UpdateError, match="another file"):
        fetch_release(found.file, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_an_endless_manifest_is_not_taken_into_memory(
    site: ReleaseSite, source: UpdateSource
) -> None:
    site.files["/manifest.json"] = b" " * 10_000_000
    assert "too long" in refusal(source)


def test_nobody_there_and_nothing_there(site: ReleaseSite, source: UpdateSource) -> None:
    with pytest.raises(RemoteNotFoundError):
        answer(source)
    with pytest.raises(NetworkError, match="cannot be reached"):
        answer(source, address="https://127.0.0.1:9/manifest.json")


def test_a_server_that_nobody_vouches_for(
    site: ReleaseSite, source: UpdateSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    site.offer(KEY, "0.2.0", DATA)
    assert "cannot prove" in refusal(source)


def test_a_stop_ends_it(site: ReleaseSite, source: UpdateSource) -> None:
    with pytest.raises(StoppedError):
        check_for_update(source, stop=lambda: True)


def test_what_was_seen_only_goes_forward_and_damage_is_no_error(tmp_path: Path) -> None:
    seen = SeenReleases(tmp_path / "a" / "updates.json")
    assert seen.newest() is None
    now = datetime.now(UTC)
    seen.note(now)
    seen.note(now - timedelta(days=1))
    assert SeenReleases(tmp_path / "a" / "updates.json").newest() == now
    assert stat.S_IMODE((tmp_path / "a" / "updates.json").stat().st_mode) == 0o600
    for text in ("", "[]", "{}", '{"date": 1}', '{"date": "2026-01-01"}', "[" * 100_000):
        (tmp_path / "a" / "updates.json").write_text(text)
        assert seen.newest() is None


def test_keys_come_with_the_program(tmp_path: Path) -> None:
    assert all(len(key) == 32 for key in load_keys())
    assert KEYS_FILE.is_file()
    for text in ("", "{}", '{"ed25519": [{"public": "AAAA"}]}', '{"ed25519": ["x"]}'):
        file = tmp_path / "keys.json"
        file.write_text(text)
        with pytest.raises(InstallationError):
            load_keys(file)


def test_a_release_is_signed_by_a_command(
    site: ReleaseSite, source: UpdateSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "key.pem").write_bytes(pem)
    file = tmp_path / "fathom_0.2.0_amd64.deb"
    file.write_bytes(DATA)
    release = site.payload("0.2.0", file.name, b"")
    (listed,) = release.pop("files")
    release["downloads"] = [{k: listed[k] for k in ("name", "platform", "kind", "url")}]
    (tmp_path / "release.json").write_text(json.dumps(release))
    command = [f"--key={tmp_path}/key.pem", f"--release={tmp_path}/release.json"]
    assert sign_release([*command, str(file)]) == 0
    site.files["/manifest.json"] = capsys.readouterr().out.encode()
    found = answer(source)
    assert (found.file.size_bytes, found.standing) == (len(DATA), Standing.NEWER)
    assert sign_release([*command, str(tmp_path / "release.json")]) == 2
    (tmp_path / "key.pem").write_text("none")
    assert sign_release([*command, str(file)]) == 2
    assert "no private key" in capsys.readouterr().err


def test_looking_costs_nothing_before_it_is_wanted() -> None:
    code = (
        "import sys, models.updates.check, models.updates.fetch\n"
        "assert not {'cryptography', 'httpx2', 'PySide6'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
