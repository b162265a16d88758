"""Context and GPU layers chosen by rehearsal, on machines described in bytes."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import ContextTooLargeError, FathomError, OutOfMemoryError
from models.runtime.llama.abort import AbortFlag, LoadCancelledError
from models.runtime.llama.dry_run import DryRun, Need, Room, need_of, resolve
from models.runtime.llama.memory import BufferUse, from_log, per_device
from models.runtime.llama.parameters import with_threads
from models.runtime.protocol import LoadSettings

GIB = 2**30
LAYERS = 32


class LinearCheckpoint:
    """A rehearsal of a checkpoint whose needs are linear: a stand-in for a GPU that is not here.

    1 GiB a layer (output counted as a layer), KV of 1 MiB a token spread over the layers.
    """

    def __init__(self, settings: LoadSettings, n_ctx_train: int = 32768) -> None:
        self._settings = settings
        self.n_ctx_train = n_ctx_train
        self.n_layer = LAYERS
        self.closed = False

    def need(self, n_ctx: int) -> Need:
        total = LAYERS + 1
        on_gpu = total if self._settings.n_gpu_layers < 0 else self._settings.n_gpu_layers
        kv_bytes = n_ctx * 2**20
        gpu_bytes = on_gpu * GIB + kv_bytes * on_gpu // total
        return Need(
            anonymous_bytes=kv_bytes - kv_bytes * on_gpu // total,
            gpu_bytes={"GPU0": gpu_bytes} if on_gpu else {},
        )

    def close(self) -> None:
        self.closed = True


def test_everything_fits_and_nothing_is_changed_but_the_context() -> None:
    settings = resolve(LoadSettings(), Room(64 * GIB, {"GPU0": 80 * GIB}), LinearCheckpoint)
    assert settings == LoadSettings(n_ctx=8192)


def test_the_training_length_bounds_the_default_context() -> None:
    settings = resolve(
        LoadSettings(),
        Room(64 * GIB, {"GPU0": 80 * GIB}),
        lambda tried: LinearCheckpoint(tried, n_ctx_train=4096),
    )
    assert settings.n_ctx == 4096


def test_as_many_layers_as_fit_go_to_a_small_gpu() -> None:
    room = Room(64 * GIB, {"GPU0": 12 * GIB})
    settings = resolve(LoadSettings(), room, LinearCheckpoint)
    assert settings.n_ctx == 8192
    assert room.shortage(LinearCheckpoint(settings).need(8192)) is None
    one_more = LoadSettings(n_gpu_layers=settings.n_gpu_layers + 1)
    assert room.shortage(LinearCheckpoint(one_more).need(8192)) is not None


def test_layers_that_were_asked_for_are_kept_and_the_context_gives_way() -> None:
    settings = resolve(
        LoadSettings(n_gpu_layers=20), Room(64 * GIB, {"GPU0": 23 * GIB}), LinearCheckpoint
    )
    assert settings.n_gpu_layers == 20
    assert 512 <= settings.n_ctx < 8192


def test_a_context_that_was_asked_for_is_refused_with_one_that_fits() -> None:
    room = Room(8 * GIB, {})
    with pytest.raises(ContextTooLargeError) as caught:
        resolve(LoadSettings(n_ctx=65536, n_gpu_layers=0), room, LinearCheckpoint)
    assert "65,536" in caught.value.message
    fitting = int(caught.value.hint.split()[0].replace(",", ""))
    checkpoint = LinearCheckpoint(LoadSettings(n_gpu_layers=0))
    assert room.shortage(checkpoint.need(fitting)) is None
    assert fitting > 7 * 1024


def test_no_room_at_all_is_out_of_memory() -> None:
    with pytest.raises(OutOfMemoryError, match="no room"):
        resolve(LoadSettings(n_gpu_layers=0), Room(GIB // 4, {}), LinearCheckpoint)


def test_every_rehearsal_is_closed() -> None:
    opened: list[LinearCheckpoint] = []

    def rehearse(settings: LoadSettings) -> LinearCheckpoint:
        opened.append(LinearCheckpoint(settings))
        return opened[-1]

    resolve(LoadSettings(), Room(64 * GIB, {"GPU0": 12 * GIB}), rehearse)
    assert len(opened) > 2
    assert all(rehearsal.closed for rehearsal in opened)


def test_host_buffers_of_every_kind_count_as_the_cpu() -> None:
    uses = [
        BufferUse("CPU_REPACK", "CPU", "cpu", 100, 0, 0),
        BufferUse("CPU", "CPU", "cpu", 10, 5, 3),
        BufferUse("CUDA0", "CUDA0", "gpu", 1000, 50, 30),
    ]
    gpu, cpu = per_device(uses, output_bytes=7)
    assert (cpu.weights_bytes, cpu.kv_bytes, cpu.compute_bytes, cpu.output_bytes) == (110, 5, 3, 7)
    assert (gpu.name, gpu.total_bytes) == ("CUDA0", 1080)


def test_only_pages_of_the_file_itself_need_no_room() -> None:
    uses = [
        BufferUse("CPU", "CPU", "cpu", 1000, 5, 3),
        BufferUse("CPU_REPACK", "CPU", "cpu", 100, 0, 0),
        BufferUse("CUDA0", "CUDA0", "gpu", 400, 50, 30),
    ]
    assert need_of(uses, maps_file=True) == Need(108, {"CUDA0": 480})
    assert need_of(uses, maps_file=False) == Need(1108, {"CUDA0": 480})


def test_figures_from_the_log_say_where_they_come_from() -> None:
    lines = [
        ("info", "load_tensors:   CPU_Mapped model buffer size =    92.10 MiB"),
        ("info", "load_tensors:        CUDA0 model buffer size =  1000.00 MiB"),
        ("info", "llama_kv_cache:      CUDA0 KV buffer size =   180.00 MiB"),
        ("info", "sched_reserve:      CUDA0 compute buffer size =    98.25 MiB"),
        ("info", "sched_reserve:  CUDA_Host compute buffer size =     2.00 MiB"),
        ("info", "llama_context:        CPU  output buffer size =     0.19 MiB"),
        ("info", "something else"),
    ]
    memory = {device.name: device for device in from_log(lines)}
    assert memory["CUDA0"].weights_bytes == 1000 * 2**20
    assert memory["CUDA0"].kv_bytes == 180 * 2**20
    assert memory["CPU"].compute_bytes == 2 * 2**20
    assert memory["CPU"].source == "llama.cpp log"


def test_threads_left_open_become_the_physical_cores() -> None:
    assert with_threads(LoadSettings(), 6).n_threads_batch == 6
    chosen = with_threads(LoadSettings(n_threads=2, n_threads_batch=4), 6)
    assert (chosen.n_threads, chosen.n_threads_batch) == (2, 4)


def test_a_cancelled_rehearsal_takes_no_further_step() -> None:
    abort = AbortFlag()
    abort.set()
    library: Any = None  # it is not asked for anything
    with pytest.raises(LoadCancelledError):
        DryRun(library, "a.gguf", LoadSettings(), lambda: FathomError(""), abort)


def test_what_was_planned_is_held_against_its_own_margin_only() -> None:
    planned = LoadSettings(n_ctx=1024, n_gpu_layers=20)
    need = LinearCheckpoint(planned).need(1024).gpu_bytes["GPU0"]
    room = Room(64 * GIB, {"GPU0": need + GIB // 2})
    assert resolve(planned, room, LinearCheckpoint) == planned
    with pytest.raises(FathomError):
        resolve(planned, Room(64 * GIB, {"GPU0": need}), LinearCheckpoint)


def test_load_anyway_asks_nothing() -> None:
    planned = LoadSettings(n_ctx=65536, n_gpu_layers=20, check_room=False)
    assert resolve(planned, Room(GIB, {}), LinearCheckpoint) == planned
    # What is left open has to be chosen all the same.
    with pytest.raises(FathomError):
        resolve(LoadSettings(check_room=False), Room(GIB // 4, {}), LinearCheckpoint)
