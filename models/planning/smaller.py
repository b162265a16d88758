"""The next smaller plan after one that did not fit after all. No Qt here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from models.planner.plan import CPU, Plan
from models.planner.wishes import Wishes

if TYPE_CHECKING:
    from models.planning.desk import PlannedLoad, PlanningDesk

# How much of what the failed plan took of each GPU may be taken now, one attempt after the other.
_SHARES = (0.93, 0.85, 0.75, 0.6)
SMALLEST_CONTEXT_TOKENS = 256


def next_smaller(
    desk: PlanningDesk, failed: PlannedLoad, *, context_first: bool, stop: Callable[[], bool]
) -> PlannedLoad:
    """Return changed wishes and a plan that needs less memory than the failed one.

    What the user fixed stays as long as it can: first less of each GPU is used, then the context
    is halved (the other way round with ``context_first``, when it was the context that was
    refused). Both can be seen and released in the panel.

    Returns:
        ``failed`` itself when nothing smaller was found, or ``stop`` said so.
    """
    for wishes in _attempts(failed.wishes, failed.plan, context_first=context_first):
        if stop():
            break
        plan = desk.plan(failed.checkpoint, failed.machine, wishes, near=failed.plan.settings)
        if is_smaller(plan, failed.plan):
            best = desk.plan(failed.checkpoint, failed.machine, wishes)
            plan = best if is_smaller(best, failed.plan) else plan
            return dataclasses.replace(failed, wishes=wishes, plan=plan)
    return failed


def is_smaller(plan: Plan, failed: Plan) -> bool:
    """Whether a plan needs no more on any GPU, and less where it matters.

    That is on the GPUs where the failed plan used some, else of the RAM that cannot be given back.
    """
    before = {device.name: device.used_bytes for device in failed.memory.devices}
    now = {device.name: device.used_bytes for device in plan.memory.devices}
    gpus = [name for name in before if name != CPU and before[name]]
    if any(now.get(name, 0) > before[name] for name in gpus):
        return False
    if gpus:
        return sum(now.get(name, 0) for name in gpus) < sum(before[name] for name in gpus)
    return _held_bytes(plan) < _held_bytes(failed)


def _held_bytes(plan: Plan) -> int:
    return plan.memory.host.anonymous_bytes + plan.memory.host.pinned_bytes


def _attempts(wishes: Wishes, failed: Plan, *, context_first: bool) -> Iterator[Wishes]:
    shares = [
        dataclasses.replace(wishes, gpu_share={**wishes.gpu_share, **less})
        for share in _SHARES
        if (less := _less_of_gpus(failed, share))
    ]
    contexts: list[Wishes] = []
    n_ctx = failed.settings.n_ctx // 2
    while n_ctx >= SMALLEST_CONTEXT_TOKENS:
        contexts.append(dataclasses.replace(wishes, n_ctx=n_ctx))
        n_ctx //= 2
    yield from contexts + shares if context_first else shares + contexts


def _less_of_gpus(failed: Plan, share: float) -> dict[str, float]:
    return {
        device.name: round(share * device.used_bytes / device.free_bytes, 2)
        for device in failed.memory.devices
        if device.name != CPU and device.used_bytes and device.free_bytes
    }
