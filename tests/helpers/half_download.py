"""A half-done download as a version of Fathom leaves it: recorded in tests/data, laid out again.

``python half_download.py FOLDER`` records one with this version. What is recorded stays as it is:
every later version has to go on with it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

TESTS_DIR = Path(__file__).resolve().parents[1]
SAMPLES_DIR = TESTS_DIR / "data" / "half_downloads"
BASE_MARK, HUB_MARK = "@BASE@", "@HUB@"
SEED, SHARD_BYTES, BLOCK_BYTES, FLUSH_BYTES = 14, 120_000, 32 * 1024, 8 * 1024
RATE_BYTES_S = 100_000
_QUEUE_TEXT = "downloads.sql"


def samples() -> list[str]:
    """Return the names of all that were recorded."""
    return sorted(path.name for path in SAMPLES_DIR.iterdir() if path.is_dir())


def lay_out(name: str, base_dir: Path, endpoint: str) -> None:
    """Write a recorded one into an empty folder, as if it had been made there."""
    sample = SAMPLES_DIR / name
    for path in sorted(sample.rglob("*")):
        target = base_dir / path.relative_to(sample)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.suffix == ".json":
            text = path.read_text("utf-8")
            text = text.replace(BASE_MARK, str(base_dir)).replace(HUB_MARK, endpoint)
            target.write_text(text, "utf-8")
        elif path.name != _QUEUE_TEXT:
            shutil.copyfile(path, target)
    script = (sample / _QUEUE_TEXT).read_text("utf-8")
    script = script.replace(BASE_MARK, str(base_dir)).replace(HUB_MARK, endpoint)
    with contextlib.closing(sqlite3.connect(base_dir / "downloads.sqlite3")) as connection:
        connection.executescript(script)


def record(folder: Path) -> None:
    """Record one with this version."""
    from helpers.fake_hub import fake_hub
    from helpers.transfers import gguf_shards, make_root, offer, running_client, spec_for

    files = gguf_shards(2, SHARD_BYTES, seed=SEED)
    base_dir = Path(tempfile.mkdtemp(prefix="half_download")) / "base"
    sizes = {"block_bytes": BLOCK_BYTES, "flush_bytes": FLUSH_BYTES}
    with fake_hub() as hub:
        with running_client(base_dir, asks_nobody=1, **sizes) as (client, heard):
            offer(hub, files)
            hub.rate_bytes_s = RATE_BYTES_S
            spec = spec_for(hub, sorted(files), make_root(base_dir), job_id="14" * 16)
            client.add(spec)
            heard.wait_for_bytes(SHARD_BYTES + 40_000)
        shutil.copytree(base_dir / "models", folder / "models")
        for path in folder.rglob("*.json"):
            text = path.read_text("utf-8")
            text = text.replace(str(base_dir), BASE_MARK).replace(hub.endpoint, HUB_MARK)
            path.write_text(text, "utf-8")
        with contextlib.closing(sqlite3.connect(base_dir / "downloads.sqlite3")) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            text = "\n".join([f"PRAGMA user_version = {version};", *connection.iterdump()]) + "\n"
    text = text.replace(str(base_dir), BASE_MARK).replace(hub.endpoint, HUB_MARK)
    (folder / _QUEUE_TEXT).write_text(text, "utf-8")
    print(*sorted(path.name for path in folder.rglob("*")), sep="\n")


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS_DIR.parent), str(TESTS_DIR)]
    record(Path(sys.argv[1]))
