"""Which of ggml's CPU modules another processor would use, and whether this one can stand in.

The portable build has one module for every generation of processors. The best that fits is loaded,
and it decides which weights are repacked (ggml-cpu/repack.cpp:4975-5133): with AVX2 the K-quants
and Q4_0, with AVX512 also Q2_K, on ARM by NEON, DOTPROD and MATMUL_INT8. To account for a machine
that is only described, the module is loaded that would be chosen there. A module that needs more
than this processor has cannot be loaded; then the answer says that it does not quite match.
No Qt here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

from models.errors import InstallationError
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.devices import cpu_features

# ggml/src/CMakeLists.txt:493-518, without SSE42, which ggml does not report as a feature.
_X86_MODULES = {
    "x64": "",
    "sse42": "SSSE3",
    "sandybridge": "AVX",
    "ivybridge": "AVX F16C",
    "piledriver": "AVX F16C FMA",
    "haswell": "AVX F16C FMA AVX2 BMI2",
    "skylakex": "AVX F16C FMA AVX2 BMI2 AVX512",
    "cannonlake": "AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI",
    "cascadelake": "AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VNNI",
    "icelake": "AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI AVX512_VNNI",
    "cooperlake": "AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VNNI AVX512_BF16",
    "zen4": "AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16",
    "alderlake": "AVX F16C FMA AVX2 BMI2 AVX_VNNI",
    "sapphirerapids": (
        "AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16 AMX_INT8"
    ),
}
# ggml-cpu/arch/x86/cpu-feats.cpp:267: what a feature counts for when modules are compared.
_X86_WEIGHTS = {
    "FMA": 1 << 0,
    "F16C": 1 << 1,
    "SSSE3": 1 << 2,
    "BMI2": 1 << 3,
    "AVX": 1 << 4,
    "AVX2": 1 << 5,
    "AVX_VNNI": 1 << 6,
    "AVX512": 1 << 7,
    "AVX512_VBMI": 1 << 8,
    "AVX512_BF16": 1 << 9,
    "AVX512_VNNI": 1 << 10,
    "AMX_INT8": 1 << 11,
}
# What decides about repacking (ggml-cpu/repack.cpp) and about AMX buffers (ggml-cpu/amx).
_DECIDING = frozenset(
    ("AVX2", "AVX512", "AMX_INT8", "NEON", "DOTPROD", "MATMUL_INT8", "SVE", "RISCV_V", "VXE")
)


def modules_for(features: Collection[str]) -> list[str]:
    """Return the x86 modules that a processor with these features can run, best first."""
    have = {name.upper() for name in features}
    if "AVX" in have:
        have.add("SSSE3")
    fitting = [name for name, needs in _X86_MODULES.items() if set(needs.split()) <= have]
    return sorted(fitting, key=_score, reverse=True)


def _score(module: str) -> int:
    return sum(_X86_WEIGHTS[feature] for feature in _X86_MODULES[module].split())


def load_cpu_module(library: LlamaLibrary, features: Collection[str] | None) -> bool:
    """Load one CPU module and no other backend, and start llama.cpp.

    Args:
        library: not started.
        features: of the processor to account for, in ggml's words; None: this one.

    Returns:
        Whether weights are repacked as they would be there.

    Raises:
        InstallationError: no CPU module fits this processor.
    """
    if library.ggml.dev_count() == 0:  # a build without modules has its backends from the start
        names = _all_modules(library.folder) if features is None else modules_for(features)
        _load_first(library, names)
    if library.ggml.dev_count() == 0:
        _load_first(library, _all_modules(library.folder))
    library.api.llama_backend_init()
    if library.ggml.dev_count() == 0:
        raise InstallationError(
            "None of llama.cpp's CPU modules runs on this processor.",
            hint="Run 'fathom doctor' for what is missing.",
            details=str(library.folder),
        )
    if features is None:
        return True
    wanted = {name.upper() for name in features} & _DECIDING
    return wanted == set(cpu_features(library)) & _DECIDING


def _load_first(library: LlamaLibrary, modules: list[str]) -> None:
    """Load the first module that is there and runs here (ggml refuses the others)."""
    for name in modules:
        path = _module_path(library.folder, name)
        if path.exists() and library.ggml.load_one(os.fsencode(path)):
            return


def _all_modules(folder: Path) -> list[str]:
    """Return the modules of the installation, best first; names that are not x86's first."""
    prefix = _module_path(folder, "").stem
    found = [path.stem.removeprefix(prefix) for path in folder.glob(f"{prefix}*")]
    others = sorted((name for name in found if name not in _X86_MODULES), reverse=True)
    return others + sorted(set(found) & set(_X86_MODULES), key=_score, reverse=True)


def _module_path(folder: Path, name: str) -> Path:
    if sys.platform == "win32":
        return folder / f"ggml-cpu-{name}.dll"
    return folder / f"libggml-cpu-{name}.so"
