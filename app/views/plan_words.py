"""From a plan to what the panel shows of it: one pure function. No planning here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication

from app.views.plan_bars import bar_legend, bar_rows, bar_scale, room_left
from app.views.plan_control_views import control_views
from app.views.plan_figures import measured_table, planned_table
from app.views.plan_names import device_name
from app.views.plan_view import (
    AlternativeView,
    LoadPhase,
    LoadView,
    NoticeView,
    PlanPhase,
    PlanView,
    SpeedView,
)
from app.views.plan_wishes import wishes_for, with_value, without
from app.views.words import tokens_words
from models.errors import FathomError
from models.gguf.shape import ModelShape
from models.planner.machine import Machine
from models.planner.plan import CPU, Alternative, Plan, SpeedRange, Tier
from models.planner.wishes import Wishes
from models.planning.measured import DeviceDifference
from models.runtime.protocol import LoadProgress
from models.units import format_bytes, format_duration, format_rate, split_rate


def make_plan_view(
    *,
    phase: PlanPhase,
    wishes: Wishes,
    name: str = "",
    shape: ModelShape | None = None,
    machine: Machine | None = None,
    plan: Plan | None = None,
    is_stale: bool = False,
    is_checking: bool = False,
    is_here: bool = True,
    load: LoadPhase = LoadPhase.NONE,
    progress: LoadProgress | None = None,
    is_stopping: bool = False,
    measured: Sequence[DeviceDifference] = (),
    error: FathomError | None = None,
    is_refused: bool = False,
) -> PlanView:
    """Return what the panel shows.

    ``plan`` may be of earlier wishes while ``is_stale``; ``is_here`` is false for a checkpoint
    that is not downloaded; ``is_checking`` while llama.cpp is being asked; ``progress`` is of a
    load that is under way; ``measured`` is what the engine holds beside what this plan says, after
    a load with it; ``is_refused`` while what is wished contradicts itself: ``plan`` is of before.
    """
    notice = error_notice(error) if error is not None else None
    if plan is None or shape is None or machine is None or phase is not PlanPhase.READY:
        return PlanView(phase, wishes, name, facts_words(shape), notice, is_stale)
    rows = bar_rows(plan, machine, shape)
    loading = _loading_view(progress, is_stopping=is_stopping)
    if load is not LoadPhase.LOADING:
        loading = load_view(plan, machine, load, is_here=is_here)
        loading = _refused_view(loading) if is_refused else loading
    tier, tier_tone, tier_tooltip = _tier(plan, measured, is_checking=is_checking)
    return PlanView(
        phase=phase,
        wishes=wishes,
        name=name,
        facts=facts_words(shape),
        notice=notice,
        is_stale=is_stale,
        fits=plan.fits,
        tier="" if is_refused else tier,
        tier_tone=tier_tone,
        tier_tooltip=tier_tooltip,
        rows=rows,
        scale=bar_scale(plan, machine),
        legend=bar_legend(rows),
        speeds=speed_views(plan, machine),
        controls=control_views(plan, shape, machine, wishes, is_stale=is_stale),
        explanation=plan.explanation,
        warnings=plan.warnings,
        alternatives=_alternatives(plan, wishes),
        flags=" ".join(plan.llama_cpp_flags),
        table=planned_table(plan, machine),
        measured=measured_table(machine, measured) if measured else None,
        load=loading,
    )


def error_notice(error: FathomError) -> NoticeView:
    """Return an error as the panel shows it."""
    return NoticeView(error.message, error.hint, error.details, "fail")


def facts_words(shape: ModelShape | None) -> str:
    """Return quantization, size, layers and training context in one line."""
    if shape is None:
        return ""
    facts = [shape.quantization]
    if shape.file_bytes:
        facts.append(format_bytes(shape.file_bytes))
    facts.append(_tr("{0} layers").format(shape.n_layer))
    if shape.is_moe:
        facts.append(_tr("{0} of {1} experts").format(shape.n_expert_used, shape.n_expert))
    if shape.is_approximate:
        facts.append(_tr("approximate"))
    return "  \N{MIDDLE DOT}  ".join(fact for fact in facts if fact)


def speed_views(plan: Plan, machine: Machine) -> tuple[SpeedView, ...]:
    """Return the predicted rates of answering and of reading a prompt."""
    speed = plan.speed
    bound, prompt_bound = (
        resource_words(resource, machine) for resource in (speed.bound_by, speed.prefill_bound_by)
    )
    parts = [
        [(resource_words(resource, machine), part_s) for resource, part_s in parts_s]
        for parts_s in (speed.decode_parts_s, speed.prefill_parts_s)
    ]
    return (
        _speed(_tr("Answers"), speed.decode, bound, parts[0]),
        _speed(_tr("Reading prompts"), speed.prefill, prompt_bound, parts[1]),
    )


def _speed(
    title: str, rate: SpeedRange, bound: str, parts_s: Sequence[tuple[str, float]]
) -> SpeedView:
    value, unit = split_rate(rate.mid)
    low, high = split_rate(rate.low)[0], split_rate(rate.high)[0]
    lines = [f"{_tr('Time per token')}:"] if parts_s else []
    for resource, part_s in sorted(parts_s, key=lambda part: -part[1]):
        lines.append(f"{resource}: {1000 * part_s:.3g} ms")
    return SpeedView(
        title=title,
        value=f"~{value}",
        unit=unit,
        range=_tr("{0} to {1}").format(low, high),
        bound=_tr("Limited by {0}").format(bound),
        tooltip="\n".join(lines),
    )


def resource_words(resource: str, machine: Machine) -> str:
    """Return what a resource of models/planner/speed.py is called in a sentence."""
    kind, _, device = resource.partition(":")
    if device:
        name = device_name(machine, device)
        if kind == "gpu_compute":
            return _tr("{0} compute").format(name)
        return _tr("{0} bandwidth").format(name)
    words = {
        "ram_bandwidth": _tr("RAM bandwidth"),
        "cpu_compute": _tr("the processor"),
        "pcie": _tr("the PCIe link"),
        "disk": _tr("the disk"),
        "network": _tr("the network"),
        "fixed": _tr("fixed work per token"),
    }
    return words.get(kind, kind.replace("_", " "))


def load_view(plan: Plan, machine: Machine, load: LoadPhase, *, is_here: bool) -> LoadView:
    """Return the button and the verdict beside it. Not fitting is a warning, never a refusal."""
    verdict, tone = _verdict(plan, machine)
    text = _tr("Load with this plan")
    if machine.is_described:
        words = _tr("The plan is for another computer and cannot be loaded here.")
        return LoadView(text, enabled=False, verdict=f"{verdict} {words}", tone=tone)
    if not is_here:
        words = _tr("Not on this computer yet. Download it to load it.")
        return LoadView(text, enabled=False, verdict=f"{verdict} {words}", tone=tone)
    if load is LoadPhase.LOADED:
        words = _tr("Loaded with this plan.")
        return LoadView(_tr("Load again"), enabled=True, verdict=words, tone="", is_primary=False)
    if not plan.fits:
        return LoadView(_tr("Load anyway"), True, verdict, tone, is_primary=False)
    if load is LoadPhase.OTHER:
        text = _tr("Reload with this plan")
    return LoadView(text, enabled=True, verdict=verdict, tone=tone)


def _refused_view(load: LoadView) -> LoadView:
    """Return a button that does not load: what is shown is not what is wished."""
    words = _tr("There is no plan for these settings. Release one of them.")
    return dataclasses.replace(load, enabled=False, verdict=words, tone="fail", is_primary=True)


def _loading_view(progress: LoadProgress | None, *, is_stopping: bool) -> LoadView:
    """Return how far a load is, with a button of its own that stops it.

    Not the same button: a double click on Load would stop what it began.
    """
    words = _tr("Loading")
    if is_stopping:
        words = _tr("Stopping")
    elif progress is not None and progress.bytes_total:
        done, total = format_bytes(progress.bytes_done), format_bytes(progress.bytes_total)
        words = _tr("Loading, {0} of {1}").format(done, total)
        if progress.eta_s is not None and progress.eta_s >= 1:
            words = _tr("{0}, {1} left").format(words, format_duration(progress.eta_s))
    stop = "" if is_stopping else _tr("Stop loading")
    return LoadView(_tr("Loading"), enabled=False, verdict=words, stop=stop)


def _verdict(plan: Plan, machine: Machine) -> tuple[str, str]:
    host = plan.memory.host
    free_vram, lacks = 0, []
    for device in plan.memory.devices:
        if device.name == CPU:
            continue
        left = room_left(device.used_bytes, device.budget_bytes, device.free_bytes)
        free_vram += max(left, 0)
        if left < 0:
            lacks.append(_lacks(device_name(machine, device.name), -left))
    held = host.anonymous_bytes + host.pinned_bytes
    budget = next((one.budget_bytes for one in plan.memory.devices if one.name == CPU), 0)
    free_ram = room_left(held, budget, machine.ram.available_bytes)
    if free_ram < 0:
        lacks.append(_lacks(_tr("RAM"), -free_ram))
    free_ram = max(free_ram - host.page_cache_bytes, 0)
    if lacks:
        words = _tr("Does not fit: {0}. Loading may fail.")
        return words.format(_tr(", ").join(lacks)), "fail"
    if not plan.fits:
        words = _tr("Tight: less stays free than should. Loading may fail.")
        return words, "tight"
    if host.disk_bytes:
        words = _tr("Fits, but {0} are read from the disk while answering.")
        return words.format(format_bytes(host.disk_bytes)), "tight"
    if machine.gpus:
        words = _tr("Fits. {0} of VRAM and {1} of RAM stay free.")
        return words.format(format_bytes(free_vram), format_bytes(free_ram)), "good"
    return _tr("Fits. {0} of RAM stay free.").format(format_bytes(free_ram)), "good"


def _lacks(name: str, missing_bytes: int) -> str:
    return _tr("{0} lacks {1}").format(name, format_bytes(missing_bytes))


def _tier(
    plan: Plan, measured: Sequence[DeviceDifference], *, is_checking: bool
) -> tuple[str, str, str]:
    """Return badge, tone and tooltip of where the memory figures come from."""
    if measured:
        return _measured_tier(measured)
    if plan.tier is Tier.EXACT:
        return (
            _tr("Checked with llama.cpp"),
            "good",
            _tr("llama.cpp itself made this account of memory, without loading anything."),
        )
    if is_checking:
        words = _tr("llama.cpp is being asked for its own account of memory.")
        return _tr("Checking with llama.cpp"), "quiet", words
    words = _tr("Weights and KV cache are exact, compute buffers are estimated.")
    return _tr("Estimated"), "quiet", words


def _measured_tier(measured: Sequence[DeviceDifference]) -> tuple[str, str, str]:
    tooltip = _tr("llama.cpp told what it holds after the load; the plan is compared with it.")
    most = max((one.difference_bytes for one in measured), key=abs)
    if not most:
        return _tr("Measured, as planned"), "good", tooltip
    more, less = _tr("Measured, {0} more than planned"), _tr("Measured, {0} less than planned")
    words = (more if most > 0 else less).format(format_bytes(abs(most)))
    return words, "quiet", tooltip


def _alternatives(plan: Plan, wishes: Wishes) -> tuple[AlternativeView, ...]:
    views = (_alternative(one, plan, wishes) for one in plan.alternatives)
    # Not a sentence that stands among the reasons already, and no plan that cannot be had.
    said = (*plan.explanation, *(one.text for one in plan.alternatives if one.kind == "plan"))
    return tuple(one for one in views if one.action or one.text not in said)


def _alternative(alternative: Alternative, plan: Plan, wishes: Wishes) -> AlternativeView:
    figures = ""
    # Some sentences have the rates in them.
    if alternative.decode_tok_s is not None and "tok/s" not in alternative.text:
        figures = f"~{format_rate(alternative.decode_tok_s)}"
    if alternative.kind in ("smaller_quant", "distill"):
        return AlternativeView(alternative.text, figures, _tr("Show models"), wants_models=True)
    if alternative.settings is None:
        return AlternativeView(alternative.text, figures)
    if alternative.releases:
        return AlternativeView(
            alternative.text, figures, _tr("Release"), without(wishes, alternative.releases)
        )
    if alternative.kind == "less_context":
        n_ctx = alternative.settings.n_ctx
        action = _tr("Use {0} context").format(tokens_words(n_ctx))
        return AlternativeView(
            alternative.text, figures, action, with_value(wishes, "n_ctx", n_ctx)
        )
    wished = wishes_for(wishes, plan.settings, alternative.settings)
    if wished == wishes:
        return AlternativeView(alternative.text, figures)
    action = _tr("Use this plan")
    return AlternativeView(alternative.text, figures, action, wished)


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanWords", text)
