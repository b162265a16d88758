"""llama.cpp's own account of a plan: a dry run with phantom GPUs. No Qt here.

Runs in the oracle's child (models/runtime/oracle_worker.py). No weight is read and nothing is
computed; the model stays loaded between questions that differ in the context only.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from models.errors import OracleError
from models.planner.plan import BufferBytes, PlanSettings
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.cpu_modules import load_cpu_module
from models.runtime.llama.devices import cpu_features
from models.runtime.llama.log_capture import LogCapture
from models.runtime.llama.memory import BufferUse, fold_mapped, from_log, read_breakdown
from models.runtime.llama.parameters import (
    NativeParameters,
    check_settings,
    context_parameters,
    model_parameters,
)
from models.runtime.llama.phantom import PhantomDevice, PhantomGpu, register_phantoms
from models.runtime.protocol import LoadSettings, TensorOverride

_SHOWN_LINES = 20


class OracleBackend:
    """One checkpoint on one machine, real or not.

    Args:
        path: first file of the checkpoint; only headers need to be there.
        gpus: the machine's GPUs in llama.cpp's order; none of this machine is used.
        features: of the machine's processor, in ggml's words; None: this one's.

    Attributes:
        cpu_matches: whether weights are repacked as they would be on that processor.
        cpu_features: of the CPU module that was loaded.
        load_s, context_s: what the last answer took; ``load_s`` is 0 when the model was kept.
        output_bytes: the output buffer of the last answer as the log says it, to 10 KiB; it is no
            part of llama.cpp's account.

    Raises:
        InstallationError: llama.cpp is missing or laid out differently.
    """

    def __init__(
        self, path: str, gpus: Sequence[PhantomGpu], features: Collection[str] | None
    ) -> None:
        self._path = path
        self._said: list[str] = []
        self._library = LlamaLibrary()
        self._log = LogCapture(self._library, lambda _level, line: self._said.append(line))
        self.cpu_matches = load_cpu_module(self._library, features)
        self.cpu_features = cpu_features(self._library)
        self._phantoms = register_phantoms(self._library, gpus)
        self._model: Any = None
        self._model_settings: LoadSettings | None = None
        self._parameters: NativeParameters | None = None
        self.load_s = 0.0
        self.context_s = 0.0
        self.output_bytes = 0

    @property
    def approximate_devices(self) -> tuple[str, ...]:
        """GPUs whose compute buffers are not exact."""
        return tuple(device.name for device in self._devices() if device.reorders)

    def _devices(self) -> Iterator[PhantomDevice]:
        return (device for registry in self._phantoms for device in registry.devices)

    def account(self, plan: PlanSettings) -> tuple[BufferBytes, ...]:
        """Return what every buffer type would hold.

        Raises:
            OracleError: llama.cpp refuses the checkpoint or the settings.
            InvalidSettingError: a setting is outside of what llama.cpp accepts.
        """
        settings = _load_settings(plan)
        check_settings(settings)
        self._said.clear()
        self.load_s = 0.0
        self._load(_model_part(settings))
        start_s = time.monotonic()
        api = self._library.api
        parameters = context_parameters(self._library, settings, model=self._model)
        with self._log.recording() as lines:
            context = api.llama_init_from_model(self._model, parameters.struct)
        if not context:
            raise self._refusal("llama.cpp refuses this context.")
        self.output_bytes = sum(memory.output_bytes for memory in from_log(lines))
        try:
            uses = read_breakdown(self._library, context)
        finally:
            api.llama_free(context)
        self.context_s = time.monotonic() - start_s
        if uses is None:
            raise OracleError("llama.cpp's account cannot be read on this system.")
        if self._maps_file(settings):
            uses = fold_mapped(uses)
        return tuple(map(_buffer_bytes, uses))

    def _load(self, settings: LoadSettings) -> None:
        if settings == self._model_settings:
            return
        self.close()
        start_s = time.monotonic()
        parameters = model_parameters(self._library, settings, dry_run=True)
        self._model = self._library.api.llama_model_load_from_file(
            self._path.encode(), parameters.struct
        )
        if not self._model:
            raise self._refusal("llama.cpp refuses this checkpoint.")
        self._model_settings, self._parameters = settings, parameters
        self.load_s = time.monotonic() - start_s

    def _maps_file(self, settings: LoadSettings) -> bool:
        """Whether the file would be mapped (llama-model-loader.cpp:559, llama-model.cpp:1512)."""
        if settings.load_mode != "auto":
            return settings.load_mode in ("mmap", "mmap_mlock")
        used = settings.devices or ()
        return all(device.maps_files for device in self._devices() if device.name in used)

    def _refusal(self, message: str) -> OracleError:
        lines = self._said[-_SHOWN_LINES:]
        return OracleError(message, hint=lines[-1][:300] if lines else "", details="\n".join(lines))

    def close(self) -> None:
        """Free the simulated checkpoint."""
        if self._model:
            self._library.api.llama_model_free(self._model)
        self._model = self._model_settings = self._parameters = None


def _load_settings(plan: PlanSettings) -> LoadSettings:
    """Return the engine's settings for a plan (the same words)."""
    fields = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    fields["overrides"] = tuple(
        TensorOverride(override.pattern, override.device) for override in plan.overrides
    )
    n_threads = plan.n_threads or 1
    fields |= {"n_threads": n_threads, "n_threads_batch": n_threads}
    return LoadSettings(**fields)


def _model_part(settings: LoadSettings) -> LoadSettings:
    """Return the settings that decide about the model; the rest as by default."""
    return LoadSettings(
        devices=settings.devices,
        n_gpu_layers=settings.n_gpu_layers,
        tensor_split=settings.tensor_split,
        overrides=settings.overrides,
        use_extra_bufts=settings.use_extra_bufts,
        no_host=settings.no_host,
        load_mtp=settings.load_mtp,
        split_mode=settings.split_mode,
        main_gpu=settings.main_gpu,
    )


def _buffer_bytes(use: BufferUse) -> BufferBytes:
    return BufferBytes(use.buffer, use.device, use.weights_bytes, use.kv_bytes, use.compute_bytes)
