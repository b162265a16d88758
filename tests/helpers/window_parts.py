"""Real parts of the window for tests: no engine child is started unless a test loads something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.actions.load_model import LoadModel
from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.messages import Messages
from app.tasks import TaskRunner
from models.hardware.readouts import (
    CpuReadout,
    GpuReadout,
    HardwareSnapshot,
    ProcessReadout,
    RamReadout,
)
from models.library.library import Library
from models.runtime.command import engine_command
from models.runtime.protocol import DeviceMemory, Loaded, LoadSettings, ModelInfo
from models.runtime.supervisor import EngineSupervisor
from models.settings import Settings

GB = 1_000_000_000


@dataclass
class Parts:
    """What pages are built from."""

    folder: Path
    messages: Messages
    runner: TaskRunner
    settings: Settings
    settings_bridge: SettingsBridge
    bridge: EngineBridge
    supervisor: EngineSupervisor
    library: Library
    loader: LoadModel

    def close(self) -> None:
        """End everything in the order of the program."""
        self.supervisor.stop()
        self.bridge.detach()
        self.runner.shutdown()


def make_parts(folder: Path) -> Parts:
    """Build the parts; the library looks into ``folder``/models."""
    (folder / "models").mkdir()
    messages = Messages()
    runner = TaskRunner()
    settings = Settings(folder / "settings.toml")
    bridge = EngineBridge()
    supervisor = EngineSupervisor(engine_command(), listener=bridge.listener)
    library = Library([folder / "models"], None)
    settings_bridge = SettingsBridge(settings, runner, messages)
    loader = LoadModel(
        supervisor=supervisor,
        bridge=bridge,
        library=library,
        settings=settings_bridge,
        runner=runner,
        messages=messages,
    )
    return Parts(
        folder, messages, runner, settings, settings_bridge, bridge, supervisor, library, loader
    )


def gpu(index: int, *, used_gb: float, total_gb: float) -> GpuReadout:
    """Return one GPU of an imaginary machine."""
    return GpuReadout(
        name=f"Graphics card number {index}",
        vendor="NVIDIA",
        index=index,
        total_bytes=int(total_gb * GB),
        used_bytes=int(used_gb * GB),
        load_percent=40.0,
        temperature_c=60.0,
        power_w=200.0,
        source="NVML",
    )


def snapshot(*gpus: GpuReadout, ram_used_gb: float = 18.0, at_s: float = 1.0) -> HardwareSnapshot:
    """Return one sample of an imaginary machine with 64 GB of RAM."""
    used = int(ram_used_gb * GB)
    return HardwareSnapshot(
        gpus=gpus,
        ram=RamReadout(64 * GB, used, 64 * GB - used, "/proc/meminfo"),
        cpu=CpuReadout(37.0, 8, 16, "A processor", (), "/proc/stat"),
        taken_at=at_s,
        engine=ProcessReadout(1, 4 * GB, "psutil"),
    )


def loaded(*devices: DeviceMemory, n_ctx: int = 16384) -> Loaded:
    """Return what an engine says after a load."""
    info = ModelInfo(
        path="/models/r1.gguf",
        name="DeepSeek R1 Distill Qwen 7B",
        architecture="qwen2",
        parameters=7_600_000_000,
        size_bytes=4_700_000_000,
        n_ctx_train=131072,
        n_layer=28,
        n_vocab=152064,
        template_source="checkpoint",
        quantization="Q4_K_M",
    )
    return Loaded(info, devices, LoadSettings(n_ctx=n_ctx), (), 3.2)
