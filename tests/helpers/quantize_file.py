"""Quantizes a GGUF file with llama.cpp itself; the main program of a child.

Usage: quantize_file.py SOURCE FOLDER FILE_TYPE...
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def quantize(source: Path, folder: Path, file_types: Sequence[int]) -> dict[int, Path]:
    """Quantize in a child, which llama.cpp may end, and return the files by their type."""
    numbers = [str(number) for number in file_types]
    result = subprocess.run(
        [sys.executable, __file__, str(source), str(folder), *numbers],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"llama.cpp did not quantize {source.name}: {result.stderr[-2000:]}")
    return {number: folder / f"{number}.gguf" for number in file_types}


def main() -> int:
    """Quantize to every type; the first that fails ends it."""
    import llama_cpp

    source, folder, *numbers = sys.argv[1:]
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = 1
    for number in numbers:
        params.ftype = int(number)
        target = Path(folder, f"{number}.gguf")
        failed = llama_cpp.llama_model_quantize(
            source.encode(), str(target).encode(), ctypes.byref(params)
        )
        if failed:
            return int(failed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
