"""Settings as flags of llama.cpp's own programs."""

from __future__ import annotations

from dataclasses import replace

from helpers.described_machines import gpu, machine
from models.planner.flags import llama_cpp_flags
from models.planner.machine import GpuKind
from models.planner.plan import CPU, Override, PlanSettings

BASE = PlanSettings(n_ctx=4096, devices=("CUDA0",), n_gpu_layers=12)


def test_the_usual_flags() -> None:
    flags = llama_cpp_flags(BASE, machine([24]))
    assert flags[:4] == ("-c 4096", "-b 2048", "-ub 512", "-fa on")
    assert "-ngl 12" in flags
    assert "-lm mmap" in flags
    # Its own fitting would change what was planned.
    assert flags[-1] == "-fit off"
    assert not any(flag.startswith(("-ctk", "-ts", "-ot", "-dev", "--rpc")) for flag in flags)


def test_everything_that_is_not_the_default_is_said() -> None:
    settings = replace(
        BASE,
        devices=("RPC0", "CUDA0"),
        tensor_split=(1.0, 2.5),
        overrides=(Override(r"blk\.(1|2)\.ffn_(up)_exps", CPU), Override("b", "CUDA0")),
        type_k="q8_0",
        type_v="q4_0",
        op_offload=False,
        offload_kqv=False,
        use_extra_bufts=False,
        no_host=True,
        load_mode="mmap_mlock",
        n_threads=6,
    )
    host = replace(gpu(0, 24, kind=GpuKind.RPC), name="RTX 3090", endpoint="192.168.0.0:50052")
    on = replace(machine([]), gpus=(host, gpu(0, 24), gpu(1, 24)))
    flags = llama_cpp_flags(settings, on)
    assert "--rpc 192.168.0.0:50052" in flags
    assert "-dev RPC0,CUDA0" in flags
    assert "-ts 1,2.5" in flags
    assert r'-ot "blk\.(1|2)\.ffn_(up)_exps=CPU,b=CUDA0"' in flags
    assert {"-ctk q8_0", "-ctv q4_0", "--no-op-offload", "--no-kv-offload"} <= set(flags)
    assert {"--no-repack", "--no-host", "-lm mmap+mlock", "-t 6"} <= set(flags)


def test_the_processor_alone_on_a_machine_with_a_card() -> None:
    settings = PlanSettings(n_ctx=4096)
    assert "-dev none" in llama_cpp_flags(settings, machine([24]))
    assert not any("dev" in flag for flag in llama_cpp_flags(settings, machine([])))


def test_hosts_are_named_by_their_endpoints_all_of_them() -> None:
    hosts = [gpu(index, 24, kind=GpuKind.RPC) for index in range(3)]
    on = replace(
        machine([]),
        gpus=(
            replace(hosts[0], endpoint="10.0.0.1:50052"),
            replace(hosts[1], endpoint="10.0.0.1:50052"),
            replace(hosts[2], name="RTX 3090"),
        ),
    )
    settings = replace(BASE, devices=("RPC1",), overrides=(Override("exps", "RPC1"),))
    flags = llama_cpp_flags(settings, on)
    # llama.cpp numbers the devices of all hosts; one that is only described has no address.
    assert "--rpc 10.0.0.1:50052,HOST:PORT" in flags
    assert "-dev RPC1" in flags
    # A buffer type has the number on its own host (ggml-rpc.cpp:1092).
    assert '-ot "exps=RPC1[10.0.0.1:50052]"' in flags
    assert not any("rpc" in flag for flag in llama_cpp_flags(PlanSettings(n_ctx=512), on))
