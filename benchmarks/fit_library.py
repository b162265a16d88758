"""llama.cpp's own planner, ``common_fit_params``, as a library and in a child of its own.

The installed engine has no libllama-common; its source has common/fit.cpp. That is compiled, with
what it logs through, against the installed libllama. The source comes from the package that
requirements/engine.lock names (hash checked) or from a folder. Run as a program, this is the child:
one request on its standard input, one answer on its standard output, and llama.cpp may end the
process for all it likes.
"""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from models.planner.machine import Machine  # noqa: E402
from models.planner.plan import CPU, Override, PlanSettings  # noqa: E402
from models.runtime.child_setup import prepare_environment, take_protocol_fd  # noqa: E402

LOCK = ROOT / "requirements" / "engine.lock"
_SOURCES = ("fit", "log", "json")
# log.cpp asks common.cpp for it, which needs everything else.
_STUB = "bool tty_can_use_colors();\nbool tty_can_use_colors() { return false; }\n"
_FIT = (
    "_Z17common_fit_paramsPKcP18llama_model_paramsP20llama_context_paramsPfP32"
    "llama_model_tensor_buft_overridePmjPK22common_fit_extra_model14ggml_log_level"
)
_LEAST_CONTEXT = 4096
_LOG_ERRORS_ONLY = 4
STATUS = {0: "fits", 1: "gives up", 2: "error"}
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class FitAnswer:
    """What ``common_fit_params`` came to.

    Attributes:
        status: ``fits``, ``gives up``, ``error`` or how the process died.
        settings: what it would run with; as it was given when it gave up.
        words: the last line of the log, its reason.
    """

    status: str
    settings: PlanSettings
    elapsed_s: float
    words: str = ""


# --- building -----------------------------------------------------------------------------------


def build(cache: Path, source: Path | None) -> Path:
    """Return the compiled library, made when it is not in the cache yet.

    Args:
        cache: where the package and the library are kept.
        source: a folder with llama.cpp's source of the same version; None: the locked package.
    """
    version = LOCK.read_text(encoding="utf-8").split()[0].partition("==")[2]
    target = cache / f"libfit-{version}.so"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    llama = source or _unpacked(cache, version)
    work = cache / "build"
    work.mkdir(exist_ok=True)
    stub = work / "colors.cpp"
    stub.write_text(_STUB, encoding="utf-8")
    files = [llama / "common" / f"{name}.cpp" for name in _SOURCES]
    folders = ["include", "ggml/include", "common", "vendor"]
    libraries = engine_folder()
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", *map(str, [*files, stub])]
    command += [f"-I{llama / folder}" for folder in folders]
    command += [f"-L{libraries}", "-l:libllama.so.0", "-l:libggml.so.0", "-l:libggml-base.so.0"]
    command += [f"-Wl,-rpath,{libraries}", "-Wl,--no-undefined", "-o", str(work / target.name)]
    subprocess.run(command, check=True)
    return (work / target.name).rename(target)


def _unpacked(cache: Path, version: str) -> Path:
    """Download the locked package, its hash checked, and unpack llama.cpp from it."""
    folder = cache / f"llama_cpp_python-{version}"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        subprocess.run(
            [*pip, "--require-hashes", "-r", str(LOCK), "-d", str(cache)],
            check=True,
            stdout=sys.stderr,
        )
        (package,) = cache.glob(f"llama_cpp_python-{version}.tar.gz")
        partial = cache / "unpacked"
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(package) as archive:
            archive.extractall(partial, filter="data")
        (partial / folder.name).rename(folder)
    return folder / "vendor" / "llama.cpp"


def engine_folder() -> Path:
    """Return where the installed engine's libraries lie."""
    import importlib.util

    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "lib"


# --- asking -------------------------------------------------------------------------------------


def ask(
    library: Path, checkpoint: Path, machine: Machine, start: PlanSettings, margins: Sequence[int]
) -> FitAnswer:
    """Let llama.cpp plan in a child.

    Args:
        library: what ``build`` returned.
        checkpoint: a header as a sparse file.
        machine: the machine; its GPUs become phantoms.
        start: what the user fixed; ``n_gpu_layers`` -1 and no overrides leave them open.
        margins: bytes to leave free on each of ``start.devices``.
    """
    request = {
        "library": str(library),
        "path": str(checkpoint),
        "gpus": [
            {
                "name": gpu.device,
                "description": gpu.name,
                "kind": gpu.kind.value,
                "total_bytes": gpu.total_bytes,
                "free_bytes": gpu.free_bytes,
                "is_unified": gpu.is_unified,
                "remote": gpu.remote,
            }
            for gpu in machine.gpus
        ],
        "ram": [machine.ram.available_bytes, machine.ram.total_bytes],
        "features": list(machine.cpu.features),
        "settings": _plain(start),
        "margins": list(margins),
    }
    start_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or [""]
        elapsed_s = time.perf_counter() - start_s
        return FitAnswer(f"dies ({done.returncode})", start, elapsed_s, words[0])
    answer = json.loads(done.stdout)
    found = replace(
        start,
        n_gpu_layers=answer["n_gpu_layers"],
        tensor_split=tuple(answer["tensor_split"]),
        overrides=tuple(Override(*pair) for pair in answer["overrides"]),
    )
    reasons = re.findall(r"failed to fit params to free device memory: (.*)", done.stderr)
    status = STATUS[answer["status"]]
    return FitAnswer(status, found, answer["elapsed_s"], reasons[-1] if reasons else "")


def _plain(settings: PlanSettings) -> dict[str, Any]:
    fields = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    fields["overrides"] = [(each.pattern, each.device) for each in settings.overrides]
    return fields


# --- the child ----------------------------------------------------------------------------------


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Plan as llama-server does at its start, with what the request leaves open."""
    from models.runtime.llama.bindings import LlamaLibrary, TensorBufferOverride
    from models.runtime.llama.cpu_modules import load_cpu_module
    from models.runtime.llama.parameters import context_parameters, model_parameters
    from models.runtime.llama.phantom import PhantomGpu, register_phantoms
    from models.runtime.protocol import LoadSettings, TensorOverride

    library = LlamaLibrary()
    load_cpu_module(library, request["features"])
    phantoms = register_phantoms(library, [PhantomGpu(**gpu) for gpu in request["gpus"]])
    memory = _pretend_ram(library, request["ram"])
    fields = request["settings"]
    fields["overrides"] = tuple(TensorOverride(*pair) for pair in fields["overrides"])
    threads = {"n_threads": 1, "n_threads_batch": 1}
    settings = LoadSettings(**(fields | threads))
    model = model_parameters(library, replace(settings, load_mode="none"))
    opened = _opened(library, request["path"])
    context = context_parameters(library, settings, model=opened)
    n_devices = library.api.llama_max_devices()
    n_overrides = library.api.llama_max_tensor_buft_overrides()
    split = (ctypes.c_float * n_devices)()
    overrides = (TensorBufferOverride * n_overrides)()
    margins = (ctypes.c_size_t * n_devices)(*request["margins"])
    fit = getattr(ctypes.CDLL(request["library"]), _FIT)
    fit.restype = ctypes.c_int
    pointer = ctypes.c_void_p
    fit.argtypes = [ctypes.c_char_p, *[pointer] * 5, ctypes.c_uint32, pointer, ctypes.c_int]
    start_s = time.perf_counter()
    status = fit(
        request["path"].encode(),
        ctypes.addressof(model.struct),
        ctypes.addressof(context.struct),
        split,
        overrides,
        margins,
        _LEAST_CONTEXT,
        None,
        _LOG_ERRORS_ONLY,
    )
    elapsed_s = time.perf_counter() - start_s
    found = []
    for slot in overrides:
        if not slot.pattern:
            break
        name = library.ggml.buft_name(slot.buft).decode()
        found.append((slot.pattern.decode(), name))
    shares = [float(share) for share in split[: len(settings.devices or ())]]
    del phantoms, memory
    return {
        "status": status,
        "elapsed_s": elapsed_s,
        "n_gpu_layers": model.struct.n_gpu_layers,
        "tensor_split": shares if any(shares) else list(settings.tensor_split),
        "overrides": found or [(each.pattern, each.device) for each in settings.overrides],
    }


def _opened(library: Any, path: str) -> Any:
    """Load the checkpoint without memory: what a context is asked for depends on it."""
    from models.runtime.llama.parameters import model_parameters
    from models.runtime.protocol import LoadSettings

    nothing = LoadSettings(devices=(), n_gpu_layers=0, use_extra_bufts=False)
    parameters = model_parameters(library, nothing, dry_run=True)
    found = library.api.llama_model_load_from_file(path.encode(), parameters.struct)
    if not found:
        raise RuntimeError("llama.cpp refuses the checkpoint")
    return found


def _pretend_ram(library: Any, free_and_total: Sequence[int]) -> Any:
    """Let ggml's CPU device say the described machine's RAM instead of this one's."""
    from models.runtime.llama.ggml_abi import Device

    size = ctypes.POINTER(ctypes.c_size_t)
    pointer = ctypes.c_void_p

    def memory(_device: int, free: Any, total: Any) -> None:
        free[0], total[0] = free_and_total

    callback = ctypes.CFUNCTYPE(None, pointer, size, size)(memory)
    for handle in library.ggml.devices():
        if library.ggml.dev_name(handle) == CPU.encode():
            device = Device.from_address(handle)
            device.iface.get_memory = ctypes.cast(callback, pointer).value
    return callback


def main() -> None:
    """Answer one request; run without ``--child`` there is nothing to do."""
    if sys.argv[1:] != ["--child"]:
        print("This is a part of plan_against_fit.py.")
        return
    out = take_protocol_fd()
    prepare_environment()
    answer = json.dumps(_answer(json.load(sys.stdin)))
    with open(out, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor, not a path
        file.write(answer)


if __name__ == "__main__":
    main()
