"""What the oracle's parent and child say to each other; docs/protocol.md, "The oracle". No Qt here.

Lines, ids and errors are those of the engine protocol; the requests are ``open`` and ``account``.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.planner.plan import BufferBytes


@dataclass(frozen=True)
class PhantomSpec:
    """A GPU to stand in for.

    ``kind`` is a value of ``models.planner.machine.GpuKind``; ``remote`` is what an RPC host
    computes with, ``cuda`` or ``cpu``.
    """

    name: str
    description: str
    kind: str
    total_bytes: int
    free_bytes: int
    is_unified: bool = False
    remote: str = "cuda"


@dataclass(frozen=True)
class OpenOracle:
    """Request ``open``: the checkpoint's first file and the machine; the first one, and only once.

    ``cpu_features`` are those of the machine's processor in ggml's words, None: of this one.
    """

    path: str
    gpus: tuple[PhantomSpec, ...]
    cpu_features: tuple[str, ...] | None


@dataclass(frozen=True)
class OracleOpened:
    """Answer to ``open``.

    Attributes:
        engine_version: of llama-cpp-python.
        cpu_features: of the CPU module in use.
        cpu_matches: whether weights are repacked as on the processor asked for.
        approximate_devices: GPUs whose compute buffers are not exact, because their backend
            computes in another order than llama.cpp's graph has.
    """

    engine_version: str
    cpu_features: tuple[str, ...]
    cpu_matches: bool
    approximate_devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class OracleAnswer:
    """Answer to ``account``.

    Attributes:
        load_s: 0 when the model was kept.
        output_bytes: the output buffer, to 10 KiB: it is in llama.cpp's log and not in its account.
    """

    buffers: tuple[BufferBytes, ...]
    load_s: float
    context_s: float
    output_bytes: int = 0
