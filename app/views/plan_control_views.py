"""The controls of the plan panel with their present values, from a plan and the wishes."""

from __future__ import annotations

import re

from PySide6.QtCore import QCoreApplication

from app.views.plan_names import device_name
from app.views.plan_view import ChoiceView, ControlKind, ControlView
from app.views.plan_wishes import KV, PROFILE, SHARE, fixed_value
from app.views.words import tokens_words
from models.gguf.shape import ModelShape, Role
from models.planner.kv_cache import check_kv
from models.planner.machine import Gpu, Machine
from models.planner.plan import Plan, PlanSettings, Profile
from models.planner.wishes import Wishes
from models.units import format_bytes

_LEAST_CONTEXT = 512
# Of more GPUs than this the sliders are folded away.
_SHARES_IN_SIGHT = 4
_UBATCHES = (64, 128, 256, 512, 1024, 2048, 4096)
_SHOWN_ELSEWHERE = ("n_gpu_layers", "tensor_split", "overrides", "n_outputs_max", "n_threads")


def control_views(
    plan: Plan, shape: ModelShape, machine: Machine, wishes: Wishes, *, is_stale: bool = False
) -> tuple[ControlView, ...]:
    """Return every control that makes sense for this checkpoint on this machine.

    While ``is_stale`` the plan is of earlier wishes: that it does something else is no news.
    """
    settings = plan.settings
    controls = [
        _profile(wishes),
        _context(shape, settings, wishes),
        _kv(shape, settings, wishes),
    ]
    if shape.is_moe and machine.gpus:
        controls.append(_experts(shape, settings, wishes, is_stale=is_stale))
    is_more = len(machine.gpus) > _SHARES_IN_SIGHT
    controls += [
        _share(gpu, device_name(machine, gpu.device), wishes, is_more=is_more)
        for gpu in machine.gpus
    ]
    controls += _more(settings, wishes, has_gpu=bool(machine.gpus))
    return tuple(controls)


def _profile(wishes: Wishes) -> ControlView:
    return ControlView(
        key=PROFILE,
        kind=ControlKind.CHOICE,
        title=_tr("Best at"),
        value=wishes.profile.value,
        is_fixed=None,
        help=_tr("What the plan is made for: fast answers, long prompts, or both."),
        choices=(
            ChoiceView(Profile.DECODE.value, _tr("Answers")),
            ChoiceView(Profile.BALANCED.value, _tr("Balanced")),
            ChoiceView(Profile.PREFILL.value, _tr("Prompts")),
        ),
    )


def _context(shape: ModelShape, settings: PlanSettings, wishes: Wishes) -> ControlView:
    value = wishes.n_ctx if wishes.n_ctx is not None else settings.n_ctx
    trained = shape.n_ctx_train or value
    maximum = max(trained, value, _LEAST_CONTEXT)
    minimum = min(_LEAST_CONTEXT, value)
    note = ""
    if value > trained:
        note = _tr("The model was trained with {0} tokens; beyond that it gets worse.")
        note = note.format(f"{trained:,}")
    return ControlView(
        key="n_ctx",
        kind=ControlKind.CONTEXT,
        title=_tr("Context"),
        value=value,
        is_fixed=wishes.n_ctx is not None,
        help=_tr("How many tokens of conversation the model can see at once."),
        minimum=minimum,
        maximum=maximum,
        words=_tr("tokens"),
        note=note,
        marks=_context_marks(minimum, maximum),
    )


def _context_marks(minimum: int, maximum: int) -> tuple[tuple[int, str], ...]:
    powers = [2**power for power in range(8, 25) if minimum <= 2**power < maximum]
    # The power below the end would stand in the end's label.
    powers = [power for power in powers if power * 1.2 < maximum]
    return tuple((value, tokens_words(value)) for value in [*powers, maximum])


def _kv(shape: ModelShape, settings: PlanSettings, wishes: Wishes) -> ControlView:
    value = str(fixed_value(wishes, KV) or settings.type_k)
    choices = [
        ChoiceView("f16", "f16", _kv_why_not(shape, "f16", wishes)),
        ChoiceView("q8_0", "q8_0", _kv_why_not(shape, "q8_0", wishes)),
        ChoiceView("q4_0", "q4_0", _kv_why_not(shape, "q4_0", wishes)),
    ]
    if value not in [choice.value for choice in choices]:
        choices.append(ChoiceView(value, value, _kv_why_not(shape, value, wishes)))
    reasons = dict.fromkeys(choice.why_not for choice in choices if choice.why_not)
    return ControlView(
        key=KV,
        kind=ControlKind.CHOICE,
        title=_tr("KV cache"),
        value=value,
        is_fixed=fixed_value(wishes, KV) is not None,
        help=_tr("How exactly the conversation is kept: q8_0 takes half the room of f16."),
        note=" ".join(reasons),
        choices=tuple(choices),
    )


def _kv_why_not(shape: ModelShape, type_name: str, wishes: Wishes) -> str:
    return check_kv(shape, type_name, type_name, wishes.flash_attn or "on") or ""


def _experts(
    shape: ModelShape, settings: PlanSettings, wishes: Wishes, *, is_stale: bool
) -> ControlView:
    inside, total = experts_on_gpus(shape, settings)
    value = wishes.expert_layers if wishes.expert_layers is not None else round(inside)
    words = _tr("{0} of {1} layers").format(_layers_words(inside, value), total)
    note = ""
    if not is_stale and abs(inside - value) >= 1:
        note = _tr("There is room for {0}.").format(f"{inside:.1f}".removesuffix(".0"))
    return ControlView(
        key="expert_layers",
        kind=ControlKind.SLIDER,
        title=_tr("Experts in VRAM"),
        value=value,
        is_fixed=wishes.expert_layers is not None,
        help=_tr("How many layers keep their routed experts on the GPU. The rest stays in RAM."),
        maximum=total,
        words=words,
        note=note,
    )


def _layers_words(inside: float, value: int) -> str:
    # Single tensors of a layer may lie on the GPU: 9.3 layers.
    if round(inside) == value and abs(inside - value) > 0.05:
        return f"{inside:.1f}"
    return str(value)


def experts_on_gpus(shape: ModelShape, settings: PlanSettings) -> tuple[float, int]:
    """Return how many layers' routed experts lie on GPUs, parts of layers too, and of how many.

    As llama.cpp places them: the first override whose pattern is found in the name wins
    (llama-model-loader.cpp), else the layer's device, which is a GPU from
    ``n_layer_all + 1 - n_gpu_layers`` on (llama-model.cpp, ``load_tensors``).
    """
    patterns = [(re.compile(one.pattern), one.device) for one in settings.overrides]
    first_on_gpu = shape.n_layer_all + 1 - settings.n_gpu_layers
    per_layer: dict[int, list[bool]] = {}
    for tensor in shape.with_role(Role.ROUTED_EXPERT):
        if tensor.layer is None or tensor.layer >= shape.n_layer:
            continue
        device = next((d for pattern, d in patterns if pattern.search(tensor.name)), None)
        on_gpu = tensor.layer >= first_on_gpu if device is None else not device.startswith("CPU")
        per_layer.setdefault(tensor.layer, []).append(on_gpu and bool(settings.devices))
    inside = sum(sum(flags) / len(flags) for flags in per_layer.values())
    return inside, len(per_layer)


def _share(gpu: Gpu, name: str, wishes: Wishes, *, is_more: bool) -> ControlView:
    share = wishes.gpu_share.get(gpu.device)
    percent = 100 if share is None else round(100 * share)
    room = format_bytes(round(gpu.free_bytes * percent / 100))
    return ControlView(
        key=SHARE + gpu.device,
        kind=ControlKind.SLIDER,
        title=_tr("Use of {0}").format(name),
        value=percent,
        is_fixed=share is not None,
        help=_tr("How much of the memory that is free on {0} the plan may use.").format(name),
        maximum=100,
        is_more=is_more,
        words=_tr("up to {0}").format(room),
    )


def _more(settings: PlanSettings, wishes: Wishes, *, has_gpu: bool) -> list[ControlView]:
    controls = [_load_mode(settings, wishes), _ubatch(settings, wishes)]
    controls.append(_flash_attention(settings, wishes))
    if has_gpu:
        controls.append(
            _switch(
                "op_offload",
                _tr("Prompts on the GPU"),
                _tr("Long prompts are computed on the GPU with weights that lie in RAM."),
                settings.op_offload,
                wishes.op_offload,
            )
        )
    controls.append(
        _switch(
            "use_extra_bufts",
            _tr("Repacked weights"),
            _tr("Faster on the CPU, but repacked weights must be held in RAM."),
            settings.use_extra_bufts,
            wishes.use_extra_bufts,
        )
    )
    controls += [_fixed_elsewhere(key, wishes) for key in _SHOWN_ELSEWHERE if _is_set(key, wishes)]
    if wishes.devices is not None:
        controls.append(_fixed_elsewhere("devices", wishes))
    return controls


def _load_mode(settings: PlanSettings, wishes: Wishes) -> ControlView:
    value = wishes.load_mode or settings.load_mode
    choices = [
        ChoiceView("mmap", _tr("Map the file")),
        ChoiceView("none", _tr("Read into RAM")),
    ]
    if value not in [choice.value for choice in choices]:
        choices.append(ChoiceView(value, value))
    return ControlView(
        key="load_mode",
        kind=ControlKind.CHOICE,
        title=_tr("Loading"),
        value=value,
        is_fixed=wishes.load_mode is not None,
        help=_tr("A mapped file can be larger than RAM; one that is read must fit."),
        choices=tuple(choices),
        is_more=True,
    )


def _ubatch(settings: PlanSettings, wishes: Wishes) -> ControlView:
    value = wishes.n_ubatch or settings.n_ubatch
    sizes = sorted({*_UBATCHES, value})
    return ControlView(
        key="n_ubatch",
        kind=ControlKind.CHOICE,
        title=_tr("Prompt batch"),
        value=str(value),
        is_fixed=wishes.n_ubatch is not None,
        help=_tr("Prompt tokens computed at once (ubatch): more is faster and takes memory."),
        choices=tuple(ChoiceView(str(size), f"{size:,}") for size in sizes),
        is_more=True,
    )


def _flash_attention(settings: PlanSettings, wishes: Wishes) -> ControlView:
    value = wishes.flash_attn or settings.flash_attn
    choices = [("on", _tr("On")), ("off", _tr("Off")), ("auto", _tr("Automatic"))]
    return ControlView(
        key="flash_attn",
        kind=ControlKind.CHOICE,
        title=_tr("Flash attention"),
        value=value,
        is_fixed=wishes.flash_attn is not None,
        help=_tr("Needs far less memory for long contexts. A quantized KV cache needs it."),
        choices=tuple(ChoiceView(one, text) for one, text in choices),
        is_more=True,
    )


def _switch(key: str, title: str, words: str, planned: bool, fixed: bool | None) -> ControlView:
    return ControlView(
        key=key,
        kind=ControlKind.SWITCH,
        title=title,
        value=int(planned if fixed is None else fixed),
        is_fixed=fixed is not None,
        help=words,
        is_more=True,
    )


def _is_set(key: str, wishes: Wishes) -> bool:
    return fixed_value(wishes, key) is not None


def _fixed_elsewhere(key: str, wishes: Wishes) -> ControlView:
    """Return a row for a value that has no control here, so that it can be seen and released."""
    titles = {
        "n_gpu_layers": _tr("Layers on GPUs"),
        "tensor_split": _tr("Split over GPUs"),
        "overrides": _tr("Placement of tensors"),
        "n_outputs_max": _tr("Outputs at once"),
        "n_threads": _tr("Threads"),
        "devices": _tr("Devices"),
    }
    value = fixed_value(wishes, key)
    if key == "overrides":
        words = "; ".join(f"{one.pattern}={one.device}" for one in value)
    elif isinstance(value, tuple):
        words = ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
        words = words or _tr("CPU only")
    else:
        words = str(value)
    return ControlView(
        key=key,
        kind=ControlKind.FIXED_ONLY,
        title=titles[key],
        value=words,
        is_fixed=True,
        words=words,
        is_more=True,
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanControls", text)
