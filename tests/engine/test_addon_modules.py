"""Add-ons in the real engine child: used, left alone with a reason, and never its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.addon_samples import compile_module, engine_with, put_folder
from helpers.engine_process import EngineProcess


@contextmanager
def engine(folder: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(list(engine_with(folder)))
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0
    assert [event for event in process.unclaimed if event["event"] == "log"] == []


def listed(folder: Path) -> dict[str, Any]:
    with engine(folder) as process:
        return process.ask("devices")[-1]


def names(found: dict[str, Any]) -> list[str]:
    return [device["name"] for device in found["devices"]]


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_module(tmp_path_factory.mktemp("cuda") / "libggml-cuda.so")


def test_an_add_on_s_device_is_one_of_the_machine(cuda: Path, tmp_path: Path) -> None:
    put_folder(tmp_path / "addons", cuda)
    found = listed(tmp_path / "addons")
    assert names(found) == ["CPU", "CUDA0"]
    assert "CUDA" in found["backends"]
    (state,) = found["addons"]
    assert (state["name"], state["version"], state["problem"]) == ("cuda", "0.1.0", "")


def test_without_add_ons_nothing_is_said(tmp_path: Path) -> None:
    assert listed(tmp_path / "none")["addons"] == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"llama_cpp": "0.3.35"}, "made for llama.cpp 0.3.35"),
        ({"ggml": "0.25.2"}, "ggml 0.25.2"),
        ({"platform": "windows-x86_64"}, "made for windows-x86_64"),
        ({"cuda": "99.0"}, "NVIDIA driver"),
    ],
)
def test_what_does_not_fit_is_left_alone(
    cuda: Path, tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    put_folder(tmp_path / "addons", cuda, **changed)
    found = listed(tmp_path / "addons")
    assert names(found) == ["CPU"]
    assert words in found["addons"][0]["problem"]
