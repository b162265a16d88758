"""What else could be done: more memory, less context, a smaller checkpoint. Pure, no Qt here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from models.errors import InvalidSettingError
from models.gguf.shape import ModelShape
from models.planner.budgets import margin_of, memory_for
from models.planner.names import device_words, number_among_alike, short_name
from models.planner.plan import CPU, SENSIBLE_TOK_S, Alternative, PlanSettings
from models.planner.search import Candidate, Search, exchange_s
from models.planner.wishes import Wishes, fixed_names
from models.units import format_bytes, format_rate

# Bits per weight of whole DeepSeek checkpoints: published file sizes over 671B parameters
# (unsloth/DeepSeek-V3-GGUF, -R1-GGUF: 713, 475, 405, 207, 159, 131 GB) and llama.cpp's
# tools/quantize/README.md for the types in between.
_QUANTS = (
    ("Q8_0", 8.5),
    ("Q6_K", 6.6),
    ("Q5_K_M", 5.7),
    ("Q4_K_M", 4.85),
    ("Q3_K_M", 3.9),
    ("Q2_K", 2.9),
    ("Q2_K_XS", 2.47),
    ("IQ2_XXS", 2.2),
    ("IQ1_M", 1.9),
    ("IQ1_S", 1.57),
)
# DeepSeek's smaller models with their parameters in billions (their model cards), largest first.
_SMALLER = (
    ("DeepSeek-R1-Distill-Llama-70B", 70.6),
    ("DeepSeek-R1-Distill-Qwen-32B", 32.8),
    ("DeepSeek-V2-Lite-Chat", 15.7),
    ("DeepSeek-R1-Distill-Qwen-14B", 14.8),
    ("DeepSeek-R1-0528-Qwen3-8B", 8.2),
    ("DeepSeek-R1-Distill-Qwen-7B", 7.6),
    ("DeepSeek-R1-Distill-Qwen-1.5B", 1.8),
)
_DISTILL_BITS = 4.85
# Room beside the weights: context, compute.
_BESIDE_SHARE = 0.9
_GIB = 2**30
# Sizes that cards come in.
_CARD_GIB = (8, 12, 16, 24, 32, 48, 80, 96, 141)
# Changes below this are noise of the forecast.
_LEAST_GAIN = 1.02
_CTX_STEP = 256
# How many smaller contexts are planned before none is promised.
_LOOKS = 4


class Advisor:
    """Looks for what would help one solved search."""

    def __init__(self, search: Search, best: Candidate, runner_up: Candidate | None) -> None:
        self._search = search
        self._best = best
        self._runner_up = runner_up
        self._shape = search.inventory.shape
        self._machine = search.machine
        self._wishes = search.wishes

    def alternatives(self) -> Iterator[Alternative]:
        """Yield other ways to run it, and what would fit where nothing sensible does."""
        sensible = self._best.fits and self._best.speed.decode.mid >= SENSIBLE_TOK_S
        if not self._best.fits:
            yield from self._less_context()
            yield from self._more_memory()
        if not sensible and (self._best.fits or self._shape.file_bytes > self._room_bytes()):
            # Else it is not the weights that are too large.
            yield from self._smaller_quant()
            yield from self._distill()
        if self._best.fits:
            yield from self._more_vram()
            yield from self._runner_up_plan()
            yield from self._price_of_wishes()

    # --- when it does not fit -------------------------------------------------------------------

    def _less_context(self) -> Iterator[Alternative]:
        settings = self._best.settings
        most = min(settings.n_ctx, self._shape.n_ctx_train or settings.n_ctx) // _CTX_STEP + 1
        low, high = 0, min(most, settings.n_ctx // _CTX_STEP)
        while high - low > max(1, low // 16):
            middle = (low + high) // 2
            tried = self._solved(replace(self._wishes, n_ctx=middle * _CTX_STEP), settings)
            low, high = (middle, high) if tried.fits else (low, middle)
        for steps in range(low, max(low - _LOOKS, 1), -1):
            wishes = replace(self._wishes, n_ctx=steps * _CTX_STEP)
            # Near what did not fit; what is promised has to fit when it is planned by itself.
            found = Search(self._search.inventory, self._machine, wishes).run().best
            if found.fits:
                yield Alternative(
                    "less_context",
                    f"A context of {steps * _CTX_STEP:,} tokens would fit.",
                    found.settings,
                    found.speed.decode.mid,
                    found.speed.prefill.mid,
                )
                return

    def _more_memory(self) -> Iterator[Alternative]:
        """Say how much more of what would be needed, all of it together."""
        missing: dict[str, int] = {}
        for device, excess in self._best.filled.excess.items():
            gpu = self._machine.gpu(device)
            where = CPU if gpu is not None and gpu.is_unified else device
            missing[where] = max(missing.get(where, 0), self._missing_bytes(device, excess))
        if not missing:
            return
        parts = [
            f"{format_bytes(size)} more "
            + ("RAM" if device == CPU else f"memory on {device_words(self._machine, device)}")
            for device, size in missing.items()
        ]
        yield Alternative(
            "more_ram" if set(missing) == {CPU} else "more_vram",
            f"{' and '.join(parts)} would do.",
            needed_bytes=sum(missing.values()),
        )

    def _missing_bytes(self, device: str, excess: int) -> int:
        """Return how much larger a memory has to be for its budget to grow by ``excess``."""
        wanted = self._search.budgets[device] + excess
        gpu = self._machine.gpu(device)
        if gpu is None:
            return memory_for(wanted, self._wishes) - self._machine.ram.available_bytes
        share = self._wishes.gpu_share.get(device, 1.0)
        needed = max(wanted + margin_of(gpu, self._wishes), math.ceil(wanted / max(share, 0.01)))
        return needed - min(gpu.free_bytes, gpu.total_bytes)

    def _smaller_quant(self) -> Iterator[Alternative]:
        parameters = _parameters(self._shape)
        room = self._room_bytes()
        own_bits = self._shape.file_bytes * 8 / max(parameters, 1)
        for name, bits in _QUANTS:
            if bits < own_bits * 0.95 and parameters * bits / 8 <= room:
                size = int(parameters * bits / 8)
                yield Alternative(
                    "smaller_quant",
                    f"In {name} (about {format_bytes(size)}) it would lie in memory as a whole.",
                    needed_bytes=size,
                )
                return
        least = int(parameters * _QUANTS[-1][1] / 8)
        if own_bits > _QUANTS[-1][1] * 1.05 and least > room:
            yield Alternative(
                "more_ram",
                f"Even the smallest quantization ({_QUANTS[-1][0]}, about {format_bytes(least)}) "
                f"needs {format_bytes(least - room)} more memory than there is.",
                needed_bytes=least - room,
            )

    def _distill(self) -> Iterator[Alternative]:
        vram = sum(self._search.budgets[gpu.device] for gpu in self._machine.gpus)
        for name, billions in _SMALLER:
            size = int(billions * 1e9 * _DISTILL_BITS / 8)
            room = max(vram, self._search.budgets[CPU]) * _BESIDE_SHARE
            if size <= room and size < self._shape.file_bytes * 0.8:
                where = "on your GPU" if size <= vram * _BESIDE_SHARE else "in RAM"
                yield Alternative(
                    "distill",
                    f"{name} in Q4_K_M (about {format_bytes(size)}) would run {where}.",
                    needed_bytes=size,
                )
                return

    def _room_bytes(self) -> int:
        """Return what all memories together hold; that of unified devices is RAM."""
        budgets = self._search.budgets
        own = [gpu.device for gpu in self._machine.gpus if not gpu.is_unified]
        return int(sum(budgets[name] for name in (CPU, *own)) * _BESIDE_SHARE)

    # --- when it does ---------------------------------------------------------------------------

    def _more_vram(self) -> Iterator[Alternative]:
        """Say what a larger GPU would change; the sentence of the whole panel."""
        gpus = [self._machine.gpu(device) for device in self._best.settings.devices]
        first = next((gpu for gpu in gpus if gpu is not None), None)
        behind = _behind(self._search, self._best)
        if first is None or not behind:
            return
        size_gib = next(
            (size for size in _CARD_GIB if size * _GIB > first.total_bytes * 1.05), None
        )
        if size_gib is None or first.is_unified:
            return
        extra = size_gib * _GIB - first.total_bytes
        grown = replace(
            first, total_bytes=first.total_bytes + extra, free_bytes=first.free_bytes + extra
        )
        machine = replace(
            self._machine,
            gpus=tuple(grown if gpu.device == first.device else gpu for gpu in self._machine.gpus),
        )
        search = Search(self._search.inventory, machine, self._wishes)
        larger = search.near(self._best.settings).best
        after = _behind(search, larger)
        before_rate, rate = self._best.speed.decode.mid, larger.speed.decode.mid
        moved = len(behind) - len(after)
        if not larger.fits or moved <= 0 or rate < before_rate * _LEAST_GAIN:
            return
        before_words, after_words = format_rate(before_rate).split()[0], format_rate(rate)
        if after_words.split()[0] == before_words:
            return
        is_partial = self._best.settings.n_gpu_layers <= self._shape.n_layer_all
        what = "layers" if is_partial or not self._shape.is_moe else "expert layers"
        card = short_name(first.name) or first.device
        which = "the" if number_among_alike(self._machine, first.device) is None else "one"
        yield Alternative(
            "more_vram",
            f"With {size_gib} GB of VRAM instead of {which} {card}, {moved} of the {len(behind)} "
            f"{what} in RAM would move there: ~{before_words} to ~{after_words}.",
            decode_tok_s=rate,
            prefill_tok_s=larger.speed.prefill.mid,
            needed_bytes=extra,
        )

    def _runner_up_plan(self) -> Iterator[Alternative]:
        other = self._runner_up
        if other is None:
            return
        differences = ", ".join(_differences(other.settings, self._best.settings))
        yield Alternative(
            "plan",
            f"Next best: {differences}: ~{format_rate(other.speed.decode.mid)} in answers, "
            f"~{format_rate(other.speed.prefill.mid)} in prompts.",
            other.settings,
            other.speed.decode.mid,
            other.speed.prefill.mid,
        )

    def _price_of_wishes(self) -> Iterator[Alternative]:
        """Say what each fixed wish costs, by solving again without it."""
        profile = self._wishes.profile
        for name in fixed_names(self._wishes):
            if name in _NEVER_PRICED or (name == "type_v" and self._wishes.type_k is not None):
                continue
            try:
                search = Search(
                    self._search.inventory, self._machine, _released(self._wishes, name)
                )
            except InvalidSettingError:
                # Another wish is sense only together with this one.
                continue
            free = search.run().best
            slower = exchange_s(self._best.speed, profile) / exchange_s(free.speed, profile)
            if not free.fits or slower < _LEAST_GAIN:
                continue
            yield Alternative(
                "plan",
                f"Your {_WISH_WORDS.get(name, name)} costs {self._price_words(free)}.",
                free.settings,
                free.speed.decode.mid,
                free.speed.prefill.mid,
                releases=name,
            )

    def _price_words(self, free: Candidate) -> str:
        """Return what is lost against a candidate, where something is."""
        own = self._best.speed
        lost = (
            (free.speed.decode.mid - own.decode.mid, "in answers"),
            (free.speed.prefill.mid - own.prefill.mid, "in prompts"),
        )
        return " and ".join(f"~{format_rate(rate)} {where}" for rate, where in lost if rate > 0)

    def _solved(self, wishes: Wishes, settings: PlanSettings) -> Candidate:
        return Search(self._search.inventory, self._machine, wishes).near(settings).best


_WISH_WORDS = {
    "n_ctx": "context",
    "type_k": "KV type",
    "type_v": "type of V",
    "flash_attn": "choice of flash attention",
    "n_ubatch": "batch size",
    "n_gpu_layers": "number of GPU layers",
    "tensor_split": "split over GPUs",
    "overrides": "placement of tensors",
    "op_offload": "choice of operation offload",
    "use_extra_bufts": "choice of repacking",
    "load_mode": "load mode",
    "expert_layers": "number of expert layers in VRAM",
    "devices": "choice of devices",
    "gpu_share": "share of the GPU",
}
# What ``PlanSettings.load_mode`` means for whoever waits for it.
_LOAD_MODE_WORDS = {
    "mmap": "weights left in the file and read as needed",
    "none": "weights read into memory at the start",
    "mlock": "weights read into memory and locked there",
    "mmap_mlock": "weights left in the file and locked in memory",
    "direct_io": "weights read past the system's cache",
}
_NEVER_PRICED = ("n_outputs_max", "n_threads", "margin_bytes", "ram_margin_bytes")


def _released(wishes: Wishes, name: str) -> Wishes:
    # Both types of the cache are one choice.
    names = ("type_k", "type_v") if name == "type_k" else (name,)
    return replace(wishes, **{one: getattr(Wishes(), one) for one in names})


def _behind(search: Search, candidate: Candidate) -> list[int]:
    """Return the layers of which weights stay in RAM."""
    shape = search.inventory.shape
    devices = candidate.filled.placement.device_of
    return sorted(
        {
            tensor.layer
            for tensor, device in zip(shape.tensors, devices, strict=True)
            if device == CPU and tensor.layer is not None and tensor.layer < shape.n_layer
        }
    )


def _differences(settings: PlanSettings, other: PlanSettings) -> Iterator[str]:
    if settings.devices != other.devices:
        yield f"on {', '.join(settings.devices)}" if settings.devices else "on the processor"
    if settings.n_ctx != other.n_ctx:
        yield f"a context of {settings.n_ctx:,}"
    if settings.n_ubatch != other.n_ubatch:
        yield f"batches of {settings.n_ubatch:,}"
    if settings.op_offload != other.op_offload:
        yield "experts copied to the GPU for prompts" if settings.op_offload else "no such copies"
    if settings.load_mode != other.load_mode:
        yield _LOAD_MODE_WORDS.get(settings.load_mode, f"load mode {settings.load_mode}")
    if settings.type_k != other.type_k:
        yield f"KV cache in {settings.type_k}"
    if settings.use_extra_bufts != other.use_extra_bufts:
        yield "repacked weights" if settings.use_extra_bufts else "weights as in the file"


def _parameters(shape: ModelShape) -> int:
    return sum(tensor.elements for tensor in shape.tensors)
