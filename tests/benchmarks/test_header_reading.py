"""The benchmark of header reading measures a header as large as a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import header_reading
from benchmarks.header_reading import MERGES, MERGES_KEY, with_all_merges, write_file
from helpers.fathom_process import TIMEOUT_S
from helpers.raw_gguf import true_scale_bytes, true_scale_source
from models.gguf.header import ArrayInfo, parse_header, read_header
from models.gguf.source import BytesSource


def test_the_grown_header_is_the_same_but_for_its_merges(tmp_path: Path) -> None:
    header = read_header(write_file("v3-q4km", tmp_path))
    short = parse_header(true_scale_source("v3-q4km"))
    assert [(t.name, t.offset) for t in header.tensors] == [
        (t.name, t.offset) for t in short.tensors
    ]
    merges = header.metadata[MERGES_KEY]
    assert isinstance(merges, ArrayInfo)
    assert merges.count == MERGES
    assert header.data_offset > 5_000_000
    assert list(header.metadata) == list(short.metadata)


def test_nothing_is_lost_at_the_end() -> None:
    data, size_bytes = with_all_merges(*true_scale_bytes("v4f-mxfp4"))
    header = parse_header(BytesSource(data, size_bytes=size_bytes))
    last = header.tensors[-1]
    assert header.data_offset + last.offset + last.size_bytes == size_bytes


def test_one_short_run() -> None:
    done = subprocess.run(
        [sys.executable, header_reading.__file__, "--runs", "1", "v2lite-q4km"],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=True,
    )
    assert "404 tensors" in done.stdout
