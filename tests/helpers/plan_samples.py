"""Hand-made checkpoints, machines and plans for tests of the plan panel; figures as in life."""

from __future__ import annotations

import dataclasses

from models.gguf.shape import AttentionKind, KvShape, ModelShape, Role, Tensor
from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.plan import (
    CPU,
    Alternative,
    DevicePlan,
    HostPlan,
    Memory,
    Override,
    Plan,
    PlanSettings,
    Profile,
    Speed,
    SpeedRange,
    Tier,
)

GB = 1_000_000_000
GIB = 1024**3
_LONG_NAME = "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition (engineering sample)"


def v3_shape() -> ModelShape:
    """Return DeepSeek V3 Q4_K_M in the large: 61 layers, 58 of them with 256 experts."""
    tensors: list[Tensor] = []
    for layer in range(61):
        tensors.append(_tensor(layer, "attn_q_b", Role.ATTENTION, 170_000_000))
        if layer < 3:
            tensors.append(_tensor(layer, "ffn_up", Role.DENSE_FFN, 320_000_000))
            continue
        tensors.append(_tensor(layer, "ffn_up_shexp", Role.SHARED_EXPERT, 32_000_000))
        for part in ("gate", "up", "down"):
            name = f"ffn_{part}_exps"
            tensors.append(_tensor(layer, name, Role.ROUTED_EXPERT, 2_230_000_000))
    kv = KvShape(AttentionKind.MLA, 576, 512, (1,) * 61)
    return ModelShape(
        name="DeepSeek V3",
        architecture="deepseek2",
        quantization="Q4_K_M",
        n_layer_all=61,
        n_layer_mtp=0,
        n_layer_dense=3,
        n_embd=7168,
        n_head=128,
        n_ff=18432,
        n_vocab=129280,
        n_ctx_train=163840,
        n_expert=256,
        n_expert_used=8,
        n_expert_shared=1,
        n_ff_expert=2048,
        kv=kv,
        q_lora_rank=1536,
        kv_lora_rank=512,
        file_bytes=405 * GB,
        tensors=tuple(tensors),
    )


def distill_shape() -> ModelShape:
    """Return the 7B distill: no experts."""
    kv = KvShape(AttentionKind.GQA, 128, 128, (4,) * 28)
    return ModelShape(
        name="DeepSeek R1 Distill Qwen 7B",
        architecture="qwen2",
        quantization="Q4_K_M",
        n_layer_all=28,
        n_layer_mtp=0,
        n_layer_dense=28,
        n_embd=3584,
        n_head=28,
        n_ff=18944,
        n_vocab=152064,
        n_ctx_train=131072,
        n_expert=0,
        n_expert_used=0,
        n_expert_shared=0,
        n_ff_expert=0,
        kv=kv,
        file_bytes=4_680_000_000,
        tensors=(_tensor(0, "attn_q", Role.ATTENTION, 6_000_000),),
    )


def machine(
    n_gpus: int = 1, *, vram_gb: float = 12, ram_gb: float = 64, used_gb: float = 0.8
) -> Machine:
    """Return a machine; every GPU has ``used_gb`` taken by other programs, RAM 6 GB."""
    gpus = tuple(
        Gpu(
            device=f"CUDA{index}",
            name="NVIDIA GeForce RTX 4090" if vram_gb >= 24 else "NVIDIA GeForce RTX 4070",
            kind=GpuKind.CUDA,
            total_bytes=round(vram_gb * GIB),
            free_bytes=round((vram_gb - used_gb) * GIB),
            bandwidth_bytes_s=1008e9,
        )
        for index in range(n_gpus)
    )
    ram = Ram(round(ram_gb * GIB), round((ram_gb - min(6, ram_gb / 4)) * GIB), 60e9)
    return Machine(gpus, ram, Disk(5e9), Cpu(16, ("AVX2",)), pcie_bytes_s=24e9)


def long_names(machine: Machine) -> Machine:
    """Return the machine with GPU names that do not fit anywhere."""
    gpus = tuple(dataclasses.replace(gpu, name=_LONG_NAME) for gpu in machine.gpus)
    return dataclasses.replace(machine, gpus=gpus)


def v3_plan(
    machine: Machine, *, expert_layers: int = 0, n_ctx: int = 32768, tier: Tier = Tier.FAST
) -> Plan:
    """Return V3 with attention and shared experts on the GPUs and some layers' experts too."""
    n_gpus = len(machine.gpus)
    routed_layer = 6_690_000_000
    kv_bytes = n_ctx * 37_332
    devices = [
        _gpu_plan(
            gpu,
            attention_bytes=10_370_000_000 // n_gpus,
            dense_bytes=1_360_000_000 // n_gpus,
            shared_bytes=1_856_000_000 // n_gpus,
            routed_bytes=expert_layers * routed_layer // n_gpus,
            kv_bytes=kv_bytes // n_gpus,
            compute_bytes=640_000_000 if number else 1_210_000_000,
        )
        for number, gpu in enumerate(machine.gpus)
    ]
    routed = (58 - expert_layers) * routed_layer
    cpu_dense = 530_000_000
    anonymous = 1_400_000_000
    if not n_gpus:
        anonymous += kv_bytes
    host_weights = routed + cpu_dense + (0 if n_gpus else 13_000_000_000)
    room = machine.ram.available_bytes - anonymous
    host = HostPlan(anonymous, 0, host_weights, 405 * GB, max(host_weights - room, 0))
    devices.append(
        DevicePlan(
            CPU,
            "cpu",
            "RAM",
            attention_bytes=0 if n_gpus else 10_000_000_000,
            dense_bytes=cpu_dense if n_gpus else 3_530_000_000,
            shared_bytes=0,
            routed_bytes=routed,
            kv_bytes=0 if n_gpus else kv_bytes,
            compute_bytes=880_000_000,
            output_bytes=520_000_000,
            total_bytes=machine.ram.total_bytes,
            free_bytes=machine.ram.available_bytes,
            budget_bytes=machine.ram.available_bytes - 2 * GIB,
        )
    )
    overrides = (Override(rf"blk\.({_numbers(3, 61 - expert_layers)})\.ffn_.*_exps\.", "CPU"),)
    settings = PlanSettings(
        n_ctx=n_ctx,
        n_ubatch=1024,
        n_gpu_layers=62 if n_gpus else 0,
        devices=tuple(gpu.device for gpu in machine.gpus),
        overrides=overrides if n_gpus else (),
        type_k="q8_0",
        type_v="q8_0",
        op_offload=False,
    )
    return _plan(settings, tuple(devices), host, tier, expert_layers)


def distill_plan(machine: Machine, *, n_ctx: int = 16384) -> Plan:
    """Return the distill: all of it on the first GPU, or in RAM."""
    sizes = {
        "attention_bytes": 1_010_000_000,
        "dense_bytes": 3_670_000_000,
        "kv_bytes": n_ctx * 57_344,
        "compute_bytes": 311_000_000,
    }
    settings = PlanSettings(n_ctx=n_ctx, n_gpu_layers=29 if machine.gpus else 0)
    ram = machine.ram
    cpu = DevicePlan(
        CPU, "cpu", "RAM", 0, 306_000_000, 0, 0, 0, 30_000_000, 608_256,
        ram.total_bytes, ram.available_bytes, ram.available_bytes - GIB,
    )  # fmt: skip
    host = HostPlan(30_608_256, 0, 306_000_000, 4_680_000_000, 0)
    if not machine.gpus:
        held = sizes["kv_bytes"] + sizes["compute_bytes"]
        cpu = dataclasses.replace(
            cpu,
            attention_bytes=sizes["attention_bytes"],
            dense_bytes=sizes["dense_bytes"],
            kv_bytes=sizes["kv_bytes"],
            compute_bytes=sizes["compute_bytes"],
        )
        host = HostPlan(held + 3_000_000_000, 0, 1_680_000_000, 4_680_000_000, 0)
        return _plan(settings, (cpu,), host, Tier.FAST, 0)
    gpu = _gpu_plan(machine.gpus[0], shared_bytes=0, routed_bytes=0, **sizes)
    settings = dataclasses.replace(settings, devices=(machine.gpus[0].device,))
    return _plan(settings, (gpu, cpu), host, Tier.EXACT, 0)


def _plan(
    settings: PlanSettings,
    devices: tuple[DevicePlan, ...],
    host: HostPlan,
    tier: Tier,
    expert_layers: int,
) -> Plan:
    fits = all(device.fits for device in devices if device.name != CPU)
    mid = 4.4 + 0.1 * expert_layers - (2.6 if host.disk_bytes else 0)
    speed = Speed(
        SpeedRange(mid * 0.88, mid, mid * 1.16),
        SpeedRange(54, 62.4, 71),
        "disk" if host.disk_bytes else "ram_bandwidth",
        "cpu_compute",
        (("ram_bandwidth", 0.18), ("gpu_bandwidth", 0.02), ("fixed", 0.004)),
    )
    rest = 61 - expert_layers
    return Plan(
        fits=fits,
        tier=tier,
        profile=Profile.BALANCED,
        settings=settings,
        memory=Memory((), devices, host),
        speed=speed,
        fixed=(),
        explanation=(
            f"The experts of layers 3 to {rest - 1} stay in RAM: 12 more GB of VRAM would bring "
            "9 of them over, 4.2 to 4.6 tok/s.",
            "The KV cache is q8_0: half the room of f16, with no difference that anybody measured.",
        ),
        warnings=()
        if not host.disk_bytes
        else ("Loading reads the whole file once: 81 s at least with this disk.",),
        llama_cpp_flags=(
            f"-c {settings.n_ctx}", "-ngl 62",
            '-ot "' + ",".join(f"{one.pattern}={one.device}" for one in settings.overrides) + '"',
            "-ctk q8_0", "-ctv q8_0", "-fa on",
        ),
        alternatives=(
            Alternative(
                "plan",
                "With op_offload, long prompts are read twice as fast, answers come slower.",
                dataclasses.replace(settings, op_offload=True, n_ubatch=4096),
                decode_tok_s=3.9,
                prefill_tok_s=125.0,
            ),
            Alternative(
                "less_context",
                "With 16k of context one more layer of experts fits on the GPU.",
                dataclasses.replace(settings, n_ctx=16384),
                decode_tok_s=4.6,
            ),
            Alternative("smaller_quant", "IQ1_M (159 GB) needs no disk.", needed_bytes=159 * GB),
            Alternative("more_ram", "With 340 GB more RAM nothing would be read from the disk."),
        ),
    )  # fmt: skip


def _gpu_plan(gpu: Gpu, **sizes: int) -> DevicePlan:
    return DevicePlan(
        name=gpu.device,
        kind="gpu",
        description=gpu.name,
        output_bytes=0,
        total_bytes=gpu.total_bytes,
        free_bytes=gpu.free_bytes,
        budget_bytes=gpu.free_bytes - GIB,
        **sizes,
    )


def _tensor(layer: int, name: str, role: Role, size_bytes: int) -> Tensor:
    return Tensor(f"blk.{layer}.{name}.weight", role, layer, "Q4_K", (7168, 256), size_bytes)


def _numbers(first: int, end: int) -> str:
    return "|".join(str(number) for number in range(first, end))
