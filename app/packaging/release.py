"""What is published, made and checked by commands; the release workflow runs nothing else.

    python -m app.packaging.release version --tag v1.2.3
    python -m app.packaging.release bill dist/fathom --out dist
    python -m app.packaging.release collect dist --out dist/release [--url https://...]
    python -m app.packaging.release sign dist/release --key KEY.pem
    python -m app.packaging.release verify dist/release [--keys KEYS.json]

``collect`` puts the installers, the add-ons and the bills of materials into a new folder, with
``SHA256SUMS`` (as ``sha256sum --check`` reads it) and ``release.json``, of which
``models.updates.signing`` makes the signed manifest. Whatever has a name that is not known, or that
of another version, is refused: nothing is published by accident. See docs/packaging.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.packaging import published
from app.packaging.release_check import verify
from models.errors import BadInputError, FathomError
from models.updates.manifest import is_https
from models.updates.signing import load_key, payload_of, sign
from models.version import VERSION

ROOT = Path(__file__).resolve().parents[2]


def check_tag(tag: str, changelog: str) -> None:
    """Raise BadInputError unless a tag names this version and the changelog dates it."""
    if tag != f"v{VERSION}":
        raise BadInputError(
            f"The tag is {tag} and the version is {VERSION}.",
            hint="models/version.py and the tag have to say the same.",
        )
    if not published.is_released(changelog):
        raise BadInputError(
            f"CHANGELOG.md does not say when {VERSION} was released.",
            hint=f"Write its heading as '## {VERSION} (2030-12-31)'.",
        )


def write_bill(program: Path, out: Path) -> Path:
    """Ask a frozen program for its bill of materials, every file included, and return the file.

    Raises:
        BadInputError: there is no program, or it does not tell.
    """
    names = ("fathom", "fathom-cli.exe", "Contents/MacOS/fathom")
    file = next((program / name for name in names if (program / name).is_file()), None)
    if file is None:
        raise BadInputError(f"There is no frozen program in {program}.", hint="Run make package.")
    command = [str(file), "sbom", "--json", "--folder", str(program)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or done.stderr:
        raise BadInputError("The program does not tell what is in it.", details=repr(done.stderr))
    out.mkdir(parents=True, exist_ok=True)
    bill = out / published.bill_name()
    bill.write_bytes(done.stdout)
    return bill


def collect(folder: Path, out: Path, *, url: str = "", date: datetime | None = None) -> None:
    """Put what is published into a new folder, with digests and the release's description.

    Args:
        url: where the files will lie; without it there is no ``release.json``.
        date: of the release; without it the moment that SOURCE_DATE_EPOCH names, or now.

    Raises:
        BadInputError: nothing is there, a name is not known, or the folder is there already.
        OSError: something cannot be read or written.
    """
    if url and not is_https(url):
        raise BadInputError("The address of a release has to begin with https://.")
    found = published.find(folder)
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise BadInputError(f"{out} is there already.", hint="Remove it first.") from None
    for one in found:
        _copy(one.path, out / one.path.name)
    names = [one.path.name for one in found]
    if url:
        release = published.description(found, url, date or _moment(), ROOT / "CHANGELOG.md")
        _write(out / published.RELEASE, json.dumps(release, indent=1) + "\n")
    _write(out / published.SUMS, published.sums(out, names))


def sign_folder(folder: Path, key: Path) -> Path:
    """Write the signed manifest of a collected folder and return the file.

    Raises:
        BadInputError: it holds no ``release.json``, or the key is none.
        UpdateRefusedError: Fathom would not believe what was signed.
        OSError: something cannot be read or written.
    """
    try:
        release = json.loads((folder / published.RELEASE).read_text(encoding="utf-8"))
        files = [folder / one["name"] for one in release["downloads"]]
        payload = payload_of(release, files)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{folder} describes no release.", details=repr(error)) from error
    manifest = folder / published.MANIFEST
    _write(manifest, sign(payload, load_key(key)).decode())
    return manifest


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("xb") as write:
        while piece := read.read(1 << 20):
            write.write(piece)
    target.chmod(0o644)


def _write(file: Path, text: str) -> None:
    # The same bytes on every system.
    file.write_bytes(text.encode())
    file.chmod(0o644)


def _moment() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="app.packaging.release", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    version = verbs.add_parser("version", help="print the version; refuse a tag that is not its")
    version.add_argument("--tag", default="")
    bill = verbs.add_parser("bill", help="write a frozen program's bill of materials")
    bill.add_argument("program", type=Path)
    bill.add_argument("--out", type=Path, required=True)
    gather = verbs.add_parser("collect", help="put what is published into one folder")
    gather.add_argument("folder", type=Path)
    gather.add_argument("--out", type=Path, required=True)
    gather.add_argument("--url", default="")
    signing = verbs.add_parser("sign", help="write the signed manifest of a collected folder")
    signing.add_argument("folder", type=Path)
    signing.add_argument("--key", type=Path, required=True)
    check = verbs.add_parser("verify", help="check a collected folder")
    check.add_argument("folder", type=Path)
    check.add_argument("--keys", type=Path, help="public keys; those of this Fathom if left out")
    return parser


def _run(options: argparse.Namespace) -> str:
    if options.verb == "version":
        if options.tag:
            check_tag(options.tag, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
        return VERSION
    if options.verb == "bill":
        return str(write_bill(options.program, options.out))
    if options.verb == "collect":
        collect(options.folder, options.out, url=options.url)
        sums: Path = options.out / published.SUMS
        return sums.read_text(encoding="utf-8").rstrip()
    if options.verb == "sign":
        return str(sign_folder(options.folder, options.key))
    keys: Path | None = options.keys
    return verify(options.folder, keys)


def main(argv: Sequence[str] | None = None) -> int:
    """Do one step; 2 when it is refused."""
    options = _parser().parse_args(argv)
    try:
        sys.stdout.write(f"{_run(options)}\n")
    except FathomError as error:
        sys.stderr.write(f"{error.one_line()} {error.details}".rstrip() + "\n")
        return BadInputError.exit_code
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return BadInputError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
