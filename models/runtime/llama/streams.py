"""Measures what weights have to get through: RAM, the disk, the way to a GPU. No Qt here."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from models.runtime.llama.abort import AbortFlag
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.protocol import LinkRate, Streams

_RAM_BYTES_EACH = 96 << 20
_RAM_SHARE = 8
_RAM_ROUNDS = 4
_DISK_BYTES = 1 << 30
_DISK_LIMIT_S = 4.0
_DISK_CHUNK_BYTES = 8 << 20
_LINK_BYTES = 128 << 20
_LINK_ROUNDS = 5
_MARK = 0x5A
_GPU_KINDS = ("gpu", "igpu")


def measure_streams(
    library: LlamaLibrary, path: Path, cores: int, abort: AbortFlag
) -> Streams | None:
    """Return the rates in bytes/s; None when it was cancelled.

    Args:
        library: the started library.
        path: a file to read from its disk; where it is shorter than a few MB, nothing is measured.
        cores: threads to read RAM with.
        abort: stops the measurement between two pieces.
    """
    ram = _ram_bytes_s(cores, abort)
    disk = None if abort.is_set() else _disk_bytes_s(path, abort)
    links = [] if abort.is_set() else _links(library)
    return None if abort.is_set() else Streams(ram, disk, tuple(links))


def _ram_bytes_s(cores: int, abort: AbortFlag) -> float | None:
    """Read memory with all cores; libc's ``memchr`` reads at full width and holds no lock."""
    libc = ctypes.CDLL("msvcrt") if sys.platform == "win32" else ctypes.CDLL(None)
    search = libc.memchr
    search.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    search.restype = ctypes.c_void_p
    room = psutil.virtual_memory().available // _RAM_SHARE
    size = min(_RAM_BYTES_EACH, room // max(cores, 1))
    if size < (8 << 20):
        return None
    best = 0.0
    blocks = [mmap.mmap(-1, size) for _ in range(cores)]
    views = [(ctypes.c_char * size).from_buffer(block) for block in blocks]
    try:
        for view in views:
            ctypes.memset(ctypes.addressof(view), 1, size)
        for _ in range(_RAM_ROUNDS):
            if abort.is_set():
                break
            threads = [
                threading.Thread(target=search, args=(ctypes.addressof(view), _MARK, size))
                for view in views
            ]
            start_s = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            best = max(best, size * cores / (time.perf_counter() - start_s))
    finally:
        views.clear()
        for block in blocks:
            with contextlib.suppress(BufferError):
                block.close()
    return best or None


def _disk_bytes_s(path: Path, abort: AbortFlag) -> float | None:
    """Read a part of a file past the page cache, at most 1 GiB and 4 s."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            wanted = min(size, _DISK_BYTES) // _DISK_CHUNK_BYTES * _DISK_CHUNK_BYTES
            if wanted == 0 or not _drop_from_cache(file.fileno(), wanted):
                return None
            return _read(file.fileno(), wanted, abort)
    except OSError:
        return None


def _drop_from_cache(number: int, size: int) -> bool:
    if not hasattr(os, "posix_fadvise"):
        return False  # read from the cache it would be no figure of the disk
    os.posix_fadvise(number, 0, size, os.POSIX_FADV_DONTNEED)
    return True


def _read(number: int, wanted: int, abort: AbortFlag) -> float | None:
    buffer = bytearray(_DISK_CHUNK_BYTES)
    done, start_s = 0, time.perf_counter()
    elapsed_s = 0.0
    while done < wanted and elapsed_s < _DISK_LIMIT_S and not abort.is_set():
        count = os.preadv(number, [buffer], done)
        if count <= 0:
            break
        done += count
        elapsed_s = time.perf_counter() - start_s
    return done / elapsed_s if done and elapsed_s > 0 else None


def _links(library: LlamaLibrary) -> list[LinkRate]:
    ggml = library.ggml
    found = []
    for device in ggml.devices():
        if ggml.device_kind(device) in _GPU_KINDS:
            rate = link_bytes_s(library, device)
            if rate is not None:
                found.append(LinkRate(ggml.dev_name(device).decode(), rate))
    return found


class _InitParams(ctypes.Structure):
    """``struct ggml_init_params``."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def link_bytes_s(library: LlamaLibrary, device: int) -> float | None:
    """Copy from pinned memory (where the backend has it) to a device; None: no room for it."""
    base = _Functions(library)
    context = base.init(_InitParams(1 << 16, None, True))
    if not context:
        return None
    host = target = None
    try:
        tensor = base.new_tensor_1d(context, 0, _LINK_BYTES // 4)
        target = base.alloc_tensors(context, library.ggml.dev_buffer_type(device))
        kind = base.host_buffer_type(device)
        host = base.alloc_buffer(kind, _LINK_BYTES) if kind else None
        if not target:
            return None
        plain = (ctypes.c_char * (0 if host else _LINK_BYTES))()
        source = base.buffer_base(host) if host else ctypes.addressof(plain)
        ctypes.memset(source, 1, _LINK_BYTES)
        best = 0.0
        for _ in range(_LINK_ROUNDS):
            start_s = time.perf_counter()
            base.tensor_set(tensor, source, 0, _LINK_BYTES)
            best = max(best, _LINK_BYTES / (time.perf_counter() - start_s))
        return best
    finally:
        for buffer in (host, target):
            if buffer:
                base.free_buffer(buffer)
        base.free(context)


class _Functions:
    """The functions of libggml-base that a copy to a device needs."""

    def __init__(self, library: LlamaLibrary) -> None:
        base = library.ggml.base
        pointer, size = ctypes.c_void_p, ctypes.c_size_t

        def declare(name: str, result: Any, *arguments: Any) -> Any:
            function = getattr(base, name)
            function.restype, function.argtypes = result, list(arguments)
            return function

        self.init = declare("ggml_init", pointer, _InitParams)
        self.free = declare("ggml_free", None, pointer)
        self.new_tensor_1d = declare(
            "ggml_new_tensor_1d", pointer, pointer, ctypes.c_int, ctypes.c_int64
        )
        self.alloc_tensors = declare(
            "ggml_backend_alloc_ctx_tensors_from_buft", pointer, pointer, pointer
        )
        self.host_buffer_type = declare("ggml_backend_dev_host_buffer_type", pointer, pointer)
        self.alloc_buffer = declare("ggml_backend_buft_alloc_buffer", pointer, pointer, size)
        self.buffer_base = declare("ggml_backend_buffer_get_base", pointer, pointer)
        self.free_buffer = declare("ggml_backend_buffer_free", None, pointer)
        self.tensor_set = declare("ggml_backend_tensor_set", None, pointer, pointer, size, size)
