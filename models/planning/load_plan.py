"""The one way from a plan to what the engine is told. No Qt here."""

from __future__ import annotations

from models.planner.machine import Machine
from models.planner.plan import PlanSettings
from models.runtime.protocol import LoadSettings, TensorOverride


def load_settings_of(
    settings: PlanSettings, *, rpc_hosts: tuple[str, ...] = (), check_room: bool = True
) -> LoadSettings:
    """Return load settings that leave nothing for the engine to choose.

    Args:
        settings: what was planned; ``n_threads`` 0 stays the engine's choice (it paces threads).
        rpc_hosts: endpoints whose devices the plan uses, see ``rpc_hosts_of``.
        check_room: False loads also what does not fit ("load anyway").
    """
    return LoadSettings(
        n_ctx=settings.n_ctx,
        n_batch=settings.n_batch,
        n_ubatch=settings.n_ubatch,
        n_threads=settings.n_threads,
        n_threads_batch=settings.n_threads,
        devices=settings.devices,
        n_gpu_layers=settings.n_gpu_layers,
        tensor_split=settings.tensor_split,
        overrides=tuple(
            TensorOverride(override.pattern, override.device) for override in settings.overrides
        ),
        type_k=settings.type_k,
        type_v=settings.type_v,
        flash_attn=settings.flash_attn,
        op_offload=settings.op_offload,
        offload_kqv=settings.offload_kqv,
        use_extra_bufts=settings.use_extra_bufts,
        no_host=settings.no_host,
        load_mode=settings.load_mode,
        n_outputs_max=settings.n_outputs_max,
        rpc_hosts=rpc_hosts,
        check_room=check_room,
    )


def rpc_hosts_of(machine: Machine, settings: PlanSettings) -> tuple[str, ...]:
    """Return the RPC hosts to name in a load, so that its devices are called as in the plan.

    The engine numbers devices in the order of the hosts (docs/protocol.md): a host that is not
    used is left out only behind the last one that is.
    """
    used = {*settings.devices, *(override.device for override in settings.overrides)}
    remote = [gpu for gpu in machine.gpus if gpu.endpoint]
    while remote and remote[-1].device not in used:
        remote.pop()
    return tuple(dict.fromkeys(gpu.endpoint for gpu in remote))
