"""What was fixed for a checkpoint comes back, whatever happens to the file."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.planner.plan import Override, Profile
from models.planner.wishes import Wishes, changed_names
from models.planning import wishes_store
from models.planning.wishes_store import (
    WishesStore,
    released,
    wishes_from_json,
    wishes_of_settings,
    wishes_to_json,
)
from models.runtime.protocol import LoadSettings

EVERYTHING = Wishes(
    profile=Profile.DECODE,
    n_ctx=32768,
    type_k="q8_0",
    type_v="q8_0",
    flash_attn="on",
    n_ubatch=1024,
    n_gpu_layers=62,
    tensor_split=(0.25, 0.75),
    overrides=(Override(r"\.ffn_.*_exps\.", "CPU"),),
    op_offload=False,
    use_extra_bufts=False,
    load_mode="mmap",
    n_outputs_max=1,
    n_threads=16,
    expert_layers=9,
    devices=("CUDA0",),
    gpu_share={"CUDA0": 0.8},
    margin_bytes=1 << 30,
    ram_margin_bytes=1 << 28,
)

wishes_strategy = st.builds(
    Wishes,
    profile=st.sampled_from(Profile),
    n_ctx=st.none() | st.integers(0, 1 << 20),
    type_k=st.none() | st.sampled_from(["f16", "q8_0"]),
    tensor_split=st.none() | st.lists(st.floats(0, 1), max_size=4).map(tuple),
    overrides=st.none()
    | st.lists(st.builds(Override, st.text(max_size=9), st.text(max_size=9))).map(tuple),
    op_offload=st.none() | st.booleans(),
    devices=st.none() | st.lists(st.text(max_size=5), max_size=3).map(tuple),
    gpu_share=st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
)


@given(wishes_strategy)
def test_wishes_survive_json(wishes: Wishes) -> None:
    assert wishes_from_json(json.loads(json.dumps(wishes_to_json(wishes)))) == wishes


def test_every_field_has_a_reader() -> None:
    assert set(changed_names(EVERYTHING)) == set(Wishes.__dataclass_fields__)
    assert wishes_from_json(json.loads(json.dumps(wishes_to_json(EVERYTHING)))) == EVERYTHING


@given(st.dictionaries(st.sampled_from([*Wishes.__dataclass_fields__, "other"]), st.none()))
def test_what_means_nothing_is_passed_over(data: dict[str, None]) -> None:
    assert wishes_from_json(data) == Wishes()


@pytest.mark.parametrize(
    "data",
    [
        {"n_ctx": "many"},
        {"n_ctx": -1},
        {"n_ctx": True},
        {"profile": "fastest"},
        {"overrides": [{"pattern": 3, "device": "CPU"}]},
        {"overrides": 3},
        {"gpu_share": {"CUDA0": 1.5}},
        {"gpu_share": [1]},
        {"devices": [1]},
        {"op_offload": 1},
    ],
)
def test_values_of_another_kind_are_passed_over(data: dict[str, object]) -> None:
    assert wishes_from_json(data | {"n_threads": 4}) == Wishes(n_threads=4)


def test_wishes_come_back_for_their_checkpoint_only(tmp_path: Path) -> None:
    store = WishesStore(tmp_path / "wishes.json")
    store.put("/models/a.gguf", EVERYTHING)
    store.put("/models/b.gguf", Wishes())
    again = WishesStore(tmp_path / "wishes.json")
    assert again.get("/models/a.gguf") == EVERYTHING
    assert again.get("/models/b.gguf") == Wishes()
    assert again.get("/models/c.gguf") is None
    assert (tmp_path / "wishes.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"version": 99, "checkpoints": {}}', "\x00", "[" * 5000]
)
def test_a_file_that_says_nothing_is_begun_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wishes.json"
    file.write_text(text, encoding="utf-8")
    store = WishesStore(file)
    assert store.get("a") is None
    store.put("a", Wishes(n_ctx=512))
    assert WishesStore(file).get("a") == Wishes(n_ctx=512)


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes_store, "MAX_ENTRIES", 3)
    store = WishesStore(tmp_path / "wishes.json")
    for number in range(5):
        store.put(str(number), Wishes(n_ctx=512 + number))
    assert [store.get(str(number)) is not None for number in range(5)] == [False] * 2 + [True] * 3


def test_a_folder_that_is_gone_costs_nothing_but_the_memory(tmp_path: Path) -> None:
    store = WishesStore(tmp_path / "gone" / "wishes.json")
    store.put("a", EVERYTHING)
    assert store.get("a") == EVERYTHING


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    store = WishesStore(tmp_path / "wishes.json")
    threads = [
        threading.Thread(target=store.put, args=(str(number), Wishes(n_ctx=256 + number)))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = WishesStore(tmp_path / "wishes.json")
    assert all(again.get(str(number)) == Wishes(n_ctx=256 + number) for number in range(12))


@pytest.mark.parametrize("name", ["kv", "type_k", "type_v"])
def test_kv_types_are_released_together(name: str) -> None:
    after = released(EVERYTHING, name)
    assert (after.type_k, after.type_v) == (None, None)
    assert after.n_ctx == EVERYTHING.n_ctx


def test_release_of_one_share_of_one_field_and_of_all() -> None:
    two = Wishes(gpu_share={"CUDA0": 0.5, "CUDA1": 0.7})
    assert released(two, "gpu_share:CUDA0").gpu_share == {"CUDA1": 0.7}
    assert released(EVERYTHING, "n_ctx").n_ctx is None
    everything = released(EVERYTHING, "all")
    assert changed_names(everything) == ("profile", "margin_bytes", "ram_margin_bytes")
    with pytest.raises(KeyError):
        released(EVERYTHING, "colour")


def test_settings_at_their_defaults_fix_nothing() -> None:
    assert wishes_of_settings(LoadSettings()) == Wishes()
    own = LoadSettings(n_ctx=4096, n_threads=3, type_k="q8_0", type_v="q8_0", flash_attn="off")
    assert wishes_of_settings(own) == Wishes(
        n_ctx=4096, n_threads=3, type_k="q8_0", type_v="q8_0", flash_attn="off"
    )
