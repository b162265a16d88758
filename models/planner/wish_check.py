"""Whether what is fixed can be kept at all, on a machine and for a checkpoint. Pure, no Qt here.

The planner never changes a wish. One that cannot be kept is said so, with what it names; it is not
left out silently.
"""

from __future__ import annotations

import math

from models.errors import BadInputError, InvalidSettingError
from models.gguf.shape import ModelShape
from models.planner.budgets import MOST_DEVICES, usable_devices
from models.planner.inventory import Inventory
from models.planner.kv_cache import check_kv
from models.planner.machine import Machine
from models.planner.plan import CPU
from models.planner.wishes import FLASH_ATTN, LOAD_MODES, Wishes, kv_types


def check_wishes(inventory: Inventory, machine: Machine, wishes: Wishes) -> None:
    """Refuse wishes that no plan can keep.

    What only does not fit is no reason: the plan then says by how much.

    Raises:
        InvalidSettingError: a wish names what is not there, or contradicts another.
    """
    for check in (_check_numbers, _check_words, _check_devices, _check_split):
        check(machine, wishes)
    _check_kv(inventory.shape, wishes)
    _check_overrides(inventory, machine, wishes)
    _check_layers(inventory.shape, machine, wishes)
    _check_experts(inventory, wishes)


def _check_numbers(_machine: Machine, wishes: Wishes) -> None:
    least = {"n_ctx": 1, "n_ubatch": 1}
    for name in (
        *("n_ctx", "n_ubatch", "n_gpu_layers", "n_outputs_max", "n_threads", "expert_layers"),
        *("margin_bytes", "ram_margin_bytes"),
    ):
        value = getattr(wishes, name)
        if value is not None and value < least.get(name, 0):
            raise InvalidSettingError(f"{name} cannot be {value}.")


def _check_words(_machine: Machine, wishes: Wishes) -> None:
    for name, known in (("flash_attn", FLASH_ATTN), ("load_mode", LOAD_MODES)):
        value = getattr(wishes, name)
        if value is not None and value not in known:
            raise InvalidSettingError(
                f'"{value}" is not a value of {name}.', hint=f"It takes one of {', '.join(known)}."
            )


def _check_devices(machine: Machine, wishes: Wishes) -> None:
    named = [*(wishes.devices or ()), *wishes.gpu_share]
    for device in named:
        _check_known(machine, device)
    if len(set(wishes.devices or ())) < len(wishes.devices or ()):
        raise InvalidSettingError(f"devices names one of {', '.join(wishes.devices or ())} twice.")
    if len(wishes.devices or ()) > MOST_DEVICES:
        raise InvalidSettingError(f"llama.cpp uses no more than {MOST_DEVICES} devices at once.")
    for device, share in wishes.gpu_share.items():
        if not 0.0 <= share <= 1.0:
            raise InvalidSettingError(f"{share:.0%} of {device} cannot be used.")


def _check_known(machine: Machine, device: str) -> None:
    if machine.gpu(device) is None:
        raise InvalidSettingError(
            f"This machine has no device {device}.", hint=_known_words(machine)
        )


def _known_words(machine: Machine) -> str:
    names = ", ".join(gpu.device for gpu in machine.gpus)
    return f"It has {names}." if names else "It has no GPU."


def _check_split(machine: Machine, wishes: Wishes) -> None:
    split = wishes.tensor_split
    if split is None:
        return
    if not all(math.isfinite(share) and share >= 0 for share in split) or not any(split):
        raise InvalidSettingError("tensor_split takes shares of 0 and more, one of them above 0.")
    devices = usable_devices(machine, wishes)
    if len(split) > len(devices):
        raise InvalidSettingError(
            f"tensor_split has {len(split)} shares for {_count(len(devices), 'GPU')}.",
            hint=_usable_words(machine, wishes),
        )


def _usable_words(machine: Machine, wishes: Wishes) -> str:
    names = ", ".join(usable_devices(machine, wishes))
    return f"The plan may use {names}." if names else "There is no GPU that the plan may use."


def _check_kv(shape: ModelShape, wishes: Wishes) -> None:
    type_k, type_v = kv_types(wishes)
    reason = check_kv(shape, type_k, type_v, wishes.flash_attn or "auto")
    if reason is not None:
        raise InvalidSettingError(reason, hint="Release one of the two settings, or choose f16.")


def _check_overrides(inventory: Inventory, machine: Machine, wishes: Wishes) -> None:
    for override in wishes.overrides or ():
        try:
            inventory.matching(override.pattern)
        except BadInputError as error:
            raise InvalidSettingError(error.message, hint=error.hint) from error
        if override.device == CPU:
            continue
        _check_known(machine, override.device)
        if override.device not in usable_devices(machine, wishes):
            raise InvalidSettingError(
                f"Tensors that match {override.pattern} cannot lie on {override.device}: the plan "
                "may not use it.",
                hint=_usable_words(machine, wishes),
            )


def _check_layers(shape: ModelShape, machine: Machine, wishes: Wishes) -> None:
    if usable_devices(machine, wishes):
        return
    experts = wishes.expert_layers if shape.is_moe else 0
    wanted = wishes.n_gpu_layers or experts
    if wanted:
        what = "" if wishes.n_gpu_layers else "the experts of "
        raise InvalidSettingError(
            f"No GPU can take {what}{_count(wanted, 'layer')}.",
            hint=_usable_words(machine, wishes),
        )


def _check_experts(inventory: Inventory, wishes: Wishes) -> None:
    wanted = wishes.expert_layers
    if wanted is None:
        return
    layers = inventory.expert_layers
    if wanted > len(layers):
        raise InvalidSettingError(
            f"The experts of {_count(wanted, 'layer')} cannot be put on GPUs.",
            hint=f"This checkpoint has {_count(len(layers), 'layer')} with experts.",
        )
    if wishes.overrides is not None:
        raise InvalidSettingError(
            "Both overrides and expert_layers say where the experts lie.",
            hint="Release one of them.",
        )
    if wishes.n_gpu_layers is not None:
        first = inventory.shape.n_layer_all + 1 - wishes.n_gpu_layers
        most = sum(layer >= first for layer in layers)
        if wanted > most:
            raise InvalidSettingError(
                f"Of {wishes.n_gpu_layers} layers on GPUs {most} have experts, not {wanted}.",
                hint="Release n_gpu_layers or expert_layers.",
            )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number or 'no'} {what}s"
