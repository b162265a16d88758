"""A real GPU backend as an add-on: a release build's Vulkan module on a software device.

Skipped where there is no such module (``make package RELEASE=1`` makes one) or no device for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.addon_samples import engine_with, put_folder
from helpers.engine_process import EngineProcess

REPO_ROOT = Path(__file__).resolve().parents[2]
PLACE = "build/release/lib/python3*/site-packages/llama_cpp/lib/libggml-vulkan.so"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProcess]:
    module = next(REPO_ROOT.glob(PLACE), None)
    if module is None:
        pytest.skip("there is no Vulkan module; make package RELEASE=1 builds one")
    folder = tmp_path / "addons"
    put_folder(folder, module, name="vulkan")
    # ggml passes over Vulkan devices that are no hardware unless they are named.
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "0")
    process = EngineProcess(list(engine_with(folder)))
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


def test_its_device_is_listed_as_a_gpu(engine: EngineProcess) -> None:
    """Only listed: the software device takes minutes to answer (docs/addons.md)."""
    found = engine.ask("devices")[-1]
    (state,) = found["addons"]
    if "no device" in state["problem"] or "cannot be opened" in state["problem"]:
        pytest.skip(f"there is no Vulkan here: {state['problem']}")
    assert state["problem"] == ""
    (device,) = [device for device in found["devices"] if device["backend"] == "Vulkan"]
    assert (device["name"], device["kind"]) == ("Vulkan0", "gpu")
    assert device["total_bytes"] > 0
