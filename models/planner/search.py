"""Finds the best settings for a checkpoint on a machine, around what is fixed. Pure, no Qt here.

The search is small because its order is known: first the context and the KV type that let most of
the checkpoint live on GPUs, then a handful of drafts (ubatch, op_offload, load mode) whose
placements are filled (filling.py) and whose speeds are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from models.gguf.shape import AttentionKind
from models.planner.account import account
from models.planner.budgets import budgets_of, usable_devices
from models.planner.device_sets import device_sets, needed_devices
from models.planner.drafts import (
    LARGE_CONTEXT,
    SMALL_UBATCH,
    USUAL_CONTEXTS,
    base_draft,
    contexts,
    draft_of,
    variants,
    with_ubatch,
)
from models.planner.filling import Filled, Filling, Offsets, RoughErrors
from models.planner.inventory import Inventory
from models.planner.kv_cache import check_kv
from models.planner.layout import is_partly
from models.planner.machine import Machine
from models.planner.plan import CPU, Memory, PlanSettings, Profile, Speed
from models.planner.speed import forecast
from models.planner.wish_check import check_wishes
from models.planner.wishes import Wishes

# What a profile is judged by: tokens of prompt and of answer in a typical exchange.
_EXCHANGE = {
    Profile.DECODE: (256, 1024),
    Profile.BALANCED: (1024, 512),
    Profile.PREFILL: (8192, 128),
}
_SAME_SHARE = 0.01
# How often everything is searched when the best turns out to be too large.
_SEARCHES = 4
_CONFIRMATIONS = 5
# A fuller placement is looked at closely from here on.
_WORTH_GAIN = 1.01
# How many of what was found are looked at closely until one fits.
_MOST_CONFIRMED = 6
# By how many layers a cut between two devices is moved to see whether more experts fit.
_SHIFTS = (-3, -2, -1, 1, 2, 3)
_SMALL_BYTES = 16 * 2**20
# Of the RAM that may be used, what a plan holds for good without being asked to.
_MOST_HELD_SHARE = 0.8


@dataclass(frozen=True)
class Candidate:
    """A filled draft with its predicted speed."""

    filled: Filled
    speed: Speed

    @property
    def settings(self) -> PlanSettings:
        """What llama.cpp would be given."""
        return self.filled.settings

    @property
    def fits(self) -> bool:
        """Whether it stays within every budget."""
        return self.filled.fits


@dataclass(frozen=True)
class Solution:
    """The best candidate, and the runner-up if there is one."""

    best: Candidate
    runner_up: Candidate | None


class Search:
    """The search for one checkpoint, machine and set of wishes.

    Args:
        inventory: the checkpoint.
        machine: the machine.
        wishes: what is fixed.
        offsets: bytes by which llama.cpp's own account was above the closed formulas; the search
            leaves them free.

    Raises:
        InvalidSettingError: a wish cannot be kept (``check_wishes``).
    """

    def __init__(
        self,
        inventory: Inventory,
        machine: Machine,
        wishes: Wishes,
        offsets: Offsets | None = None,
    ) -> None:
        check_wishes(inventory, machine, wishes)
        self.inventory = inventory
        self.machine = machine
        self.wishes = wishes
        self.budgets = budgets_of(machine, wishes)
        self._offsets = offsets or Offsets()
        # What earlier searches found out serves sliders; a search starts anew, so that the same
        # question always has the same answer.
        self._known: RoughErrors = inventory.remember(("rough errors",), dict)
        self._errors: RoughErrors = {}
        self._filling = self._filling_with(self.budgets, self._known)

    def near(self, settings: PlanSettings) -> Solution:
        """Fill settings again that were found before, with what is fixed now put in.

        For a slider that moves: one draft instead of a search.
        """
        usable = usable_devices(self.machine, self.wishes)
        used = settings.devices if self.wishes.devices is None else usable
        kept = tuple(device for device in usable if device in used)
        if not needed_devices(self.wishes) <= set(kept):
            kept = usable
        candidates = [self._judged(self._filling.fill(self._kept(settings, kept)))]
        if kept != usable and not (candidates[0].fits and self._is_whole(candidates[0].filled)):
            # What lay on some of the devices may have become too large for them.
            candidates.append(self._judged(self._filling.fill(self._kept(settings, usable))))
        return Solution(max(candidates, key=self._rank), None)

    def _kept(self, settings: PlanSettings, devices: Sequence[str]) -> PlanSettings:
        """Return a draft that keeps of earlier settings what is not fixed."""
        wishes = self.wishes
        n_ctx = wishes.n_ctx if wishes.n_ctx is not None else settings.n_ctx
        draft = base_draft(self.inventory.shape, self.machine, wishes, n_ctx=n_ctx, devices=devices)
        kept = replace(
            draft,
            n_ubatch=wishes.n_ubatch or settings.n_ubatch,
            op_offload=_given(wishes.op_offload, settings.op_offload),
            use_extra_bufts=_given(wishes.use_extra_bufts, settings.use_extra_bufts),
            load_mode=wishes.load_mode or settings.load_mode,
        )
        types = (settings.type_k, settings.type_v)
        is_free = wishes.type_k is None and wishes.type_v is None
        if is_free and check_kv(self.inventory.shape, *types, kept.flash_attn) is None:
            kept = replace(kept, type_k=types[0], type_v=types[1])
        return with_ubatch(kept, kept.n_ubatch)

    def run(self) -> Solution:
        """Search everything that is left open."""
        self._filling = self._filling_with(self.budgets, self._errors)
        ordered = self._searched()
        for _ in range(_SEARCHES - 1):
            close = self._filling.measured(ordered[0].settings, closely=True)
            if close.fits or not ordered[0].fits:
                break
            # Something else may be best, now that this one is known to take more.
            ordered = self._searched()
        best = self._best_of(ordered)
        self._known.update(self._errors)
        others = [other for other in ordered if other.fits and _differ(other.speed, best.speed)]
        return Solution(best, others[0] if others else None)

    def _best_of(self, ordered: Sequence[Candidate]) -> Candidate:
        """Return the best with its own compute buffers, of candidates ranked by rough ones.

        Looks no further when what is left is not even roughly better.
        """
        best = self._confirmed(ordered[0])
        for candidate in ordered[1:_MOST_CONFIRMED]:
            if best.fits and self._rank(best) >= self._rank(candidate):
                break
            best = max(best, self._confirmed(candidate), key=self._rank)
        return best

    def _filling_with(self, budgets: Mapping[str, int], errors: RoughErrors) -> Filling:
        return Filling(
            self.inventory, self.machine, self.wishes, budgets, errors=errors, offsets=self._offsets
        )

    def _searched(self) -> list[Candidate]:
        """Return everything that was tried, the best first, by rough compute buffers."""
        candidates: list[Candidate] = []
        for devices in device_sets(self.inventory, self.machine, self.wishes, self.budgets):
            start = self._start(devices)
            candidates.append(self._judged(start))
            candidates.extend(self._improved(start))
        best = max(candidates, key=self._rank)
        if any(is_partly(pattern) for pattern in best.settings.overrides):
            candidates.append(self._judged(self._filling.fill(best.settings, by_tensor=False)))
            candidates.extend(self._shifted(best))
        return sorted(candidates, key=self._rank, reverse=True)

    def _shifted(self, found: Candidate) -> Iterator[Candidate]:
        """Yield a candidate on two devices with the layers cut a little before and after.

        Experts are large: which of them fit into what is left depends on where the cut is.
        """
        counts = found.settings.tensor_split
        if len(counts) != 2 or self.wishes.tensor_split is not None:
            return
        first, second = counts
        for shift in _SHIFTS:
            if min(first + shift, second - shift) < 1:
                continue
            wishes = replace(
                self.wishes,
                tensor_split=(first + shift, second - shift),
                n_gpu_layers=found.settings.n_gpu_layers,
            )
            filling = Filling(
                self.inventory,
                self.machine,
                wishes,
                self.budgets,
                errors=self._errors,
                offsets=self._offsets,
            )
            for by_tensor in (True, False):
                yield self._judged(filling.fill(found.settings, by_tensor=by_tensor))

    def _confirmed(self, best: Candidate) -> Candidate:
        """Return the best with its own compute buffers, filled anew where they are too large."""
        close = self._filling.measured(best.settings, closely=True)
        if close.fits:
            return self._fuller(self._judged(close))
        if not best.fits:
            return self._judged(close)
        # The error is known now, so the same budgets may do; what then is too much is kept free.
        tight = dict(self.budgets)
        for _ in range(_CONFIRMATIONS):
            filling = self._filling_with(tight, self._errors)
            close = self._filling.measured(filling.fill(close.settings).settings, closely=True)
            if close.fits:
                break
            for name, excess in close.excess.items():
                tight[name] = max(tight[name] - excess - _SMALL_BYTES, 0)
        return self._judged(close)

    def _fuller(self, found: Candidate) -> Candidate:
        """Return what a candidate becomes with the room that rough figures kept for nothing."""
        if not found.settings.devices or self._is_whole(found.filled):
            return found
        for by_tensor in (True, False):
            again = self._judged(self._filling.fill(found.settings, by_tensor=by_tensor))
            # A close look takes as long as the rest of the search.
            if again.fits and self._gain(again, found) > _WORTH_GAIN:
                close = self._judged(self._filling.measured(again.settings, closely=True))
                if close.fits and self._gain(close, found) > 1.0:
                    found = close
        return found

    def _gain(self, candidate: Candidate, other: Candidate) -> float:
        """Return how many times as fast an exchange is."""
        profile = self.wishes.profile
        return exchange_s(other.speed, profile) / exchange_s(candidate.speed, profile)

    # --- where to start -------------------------------------------------------------------------

    def _start(self, devices: Sequence[str]) -> Filled:
        """Return the first draft to fit: as much context as costs no speed."""
        shape, wishes = self.inventory.shape, self.wishes
        options = contexts(shape, wishes)
        usual = [n_ctx for n_ctx in options if n_ctx >= min(USUAL_CONTEXTS[-1], max(options))]
        best: Filled | None = None
        for n_ctx in usual:
            for kv_type in self._kv_types():
                filled = self._plain(n_ctx, devices, kv_type)
                if filled.fits and self._is_whole(filled) and not _disk_bytes(filled):
                    return self._grown(filled, devices)
                # A quantized cache must earn more than room for some further layers.
                counts = kv_type is None or best is None or not best.fits
                if best is None or (counts and self._level(filled) > self._level(best)):
                    best = filled
        assert best is not None
        if not best.fits:
            return self._shrunk(best, devices, options)
        return self._without_disk(best, devices, options)

    def _without_disk(
        self, first: Filled, devices: Sequence[str], options: Sequence[int]
    ) -> Filled:
        """Return a smaller context where that keeps all weights in memory, else the first."""
        cache_bytes = sum(device.kv_bytes + device.compute_bytes for device in first.memory.devices)
        if not 0 < _disk_bytes(first) < cache_bytes:
            return first
        for n_ctx in options:
            for kv_type in self._kv_types():
                filled = self._plain(n_ctx, devices, kv_type)
                if not _disk_bytes(filled) and self._level(filled) >= self._level(first):
                    return filled
        return first

    def _level(self, filled: Filled) -> int:
        """Rank a placement: 0 does not fit, 1 some layers, 2 all but experts on devices."""
        if not filled.fits:
            return 0
        return 2 if filled.settings.n_gpu_layers > self.inventory.shape.n_layer_all else 1

    def _kv_types(self) -> tuple[str | None, ...]:
        """Return KV types to try unasked: quantized ones only where they are known to be sound.

        On DeepSeek's own architectures there are reports of garbage (llama.cpp #25871, #26423).
        """
        shape, wishes = self.inventory.shape, self.wishes
        plain = shape.kv.kind is AttentionKind.GQA and not shape.architecture.startswith("deepseek")
        free = wishes.type_k is None and wishes.type_v is None and wishes.flash_attn != "off"
        return (None, "q8_0") if plain and free else (None,)

    def _plain(self, n_ctx: int, devices: Sequence[str], kv_type: str | None = None) -> Filled:
        draft = base_draft(
            self.inventory.shape, self.machine, self.wishes, n_ctx=n_ctx, devices=devices
        )
        if kv_type is not None:
            draft = replace(draft, type_k=kv_type, type_v=kv_type)
        if self.wishes.op_offload is None and devices:
            draft = replace(draft, op_offload=False)
        filled = self._filling.fill(draft)
        if not filled.fits and draft.use_extra_bufts and self.wishes.use_extra_bufts is None:
            # Repacked weights are held in RAM for good; as pages of the file they need not be.
            without = self._filling.fill(replace(draft, use_extra_bufts=False))
            if without.excess_bytes < filled.excess_bytes:
                return without
        if filled.fits and devices and self.wishes.op_offload is None and self._is_whole(filled):
            # Nothing is left in RAM that could be copied: llama.cpp's default then.
            default = self._filling.measured(replace(filled.settings, op_offload=True))
            return default if default.fits else filled
        return filled

    def _grown(self, filled: Filled, devices: Sequence[str]) -> Filled:
        """Return a larger context when everything stays on the GPUs with it."""
        most = self.inventory.shape.n_ctx_train or 0
        settings = filled.settings
        if self.wishes.n_ctx is not None or settings.n_ctx >= min(LARGE_CONTEXT, most):
            return filled
        if not devices or settings.n_ctx < USUAL_CONTEXTS[0]:
            return filled
        larger = self._filling.fill(replace(settings, n_ctx=min(LARGE_CONTEXT, most)))
        return larger if larger.fits and self._is_whole(larger) else filled

    def _shrunk(self, first: Filled, devices: Sequence[str], options: Sequence[int]) -> Filled:
        """Return what fits with less: KV type and ubatch first, then context."""
        tried = [first]
        for n_ctx in options:
            for n_ubatch in (None, SMALL_UBATCH):
                if n_ubatch is not None and self.wishes.n_ubatch is not None:
                    continue
                for kv_type in self._kv_types():
                    filled = self._plain(n_ctx, devices, kv_type)
                    if n_ubatch is not None:
                        filled = self._filling.fill(with_ubatch(filled.settings, n_ubatch))
                    tried.append(filled)
                    if filled.fits:
                        return filled
        return min(tried, key=lambda filled: filled.excess_bytes)

    # --- what else ------------------------------------------------------------------------------

    def _improved(self, start: Filled) -> Iterable[Candidate]:
        draft = start.settings
        for variant in variants(
            draft,
            self.wishes,
            weights_on_cpu=bool(draft.devices) and not self._is_whole(start),
            # Without experts a GPU that reads the prompt's weights is worth more than a layer.
            layers_on_cpu=bool(draft.devices and self.inventory.expert_layers)
            and self._level(start) == 1,
        ):
            if draft_of(variant) == draft_of(draft):
                continue
            filled = self._filling.fill(variant)
            if variant.load_mode == "none" and self._holds_too_much(filled):
                continue
            yield self._judged(filled)

    def _holds_too_much(self, filled: Filled) -> bool:
        """Whether weights that could be dropped pages would be locked in most of RAM."""
        if self.wishes.load_mode is not None:
            return False
        host = filled.memory.host
        held_bytes = host.anonymous_bytes + host.pinned_bytes
        return held_bytes > _MOST_HELD_SHARE * self.budgets[CPU]

    def _is_whole(self, filled: Filled) -> bool:
        """Whether every layer with all its experts lies on devices (or there are none)."""
        settings = filled.settings
        if not settings.devices:
            return True
        is_whole = settings.n_gpu_layers > self.inventory.shape.n_layer_all
        return is_whole and not settings.overrides

    def _judged(self, filled: Filled) -> Candidate:
        speed = forecast(
            self.inventory, self.machine, filled.settings, filled.placement, filled.memory
        )
        return Candidate(filled, speed)

    def _rank(self, candidate: Candidate) -> tuple[bool, float, int]:
        """Return a key that is larger the better; of equals the one with fewer devices."""
        devices = -len(candidate.settings.devices)
        if not candidate.fits:
            return (False, -float(candidate.filled.excess_bytes), devices)
        return (True, -round(exchange_s(candidate.speed, self.wishes.profile), 3), devices)


def exchange_s(speed: Speed, profile: Profile) -> float:
    """Return the seconds of a typical exchange of a profile."""
    prompt_tokens, answer_tokens = _EXCHANGE[profile]
    prefill = max(speed.prefill.mid, 1e-9)
    return prompt_tokens / prefill + answer_tokens / max(speed.decode.mid, 1e-9)


def with_true_budgets(search: Search, candidate: Candidate, *, offset: bool) -> Memory:
    """Return a candidate's account against the budgets themselves."""
    if not offset:
        return candidate.filled.memory
    return account(
        search.inventory,
        search.machine,
        candidate.settings,
        budgets=search.budgets,
        placement=candidate.filled.placement,
    )


def _differ(speed: Speed, other: Speed) -> bool:
    """Whether two forecasts are more than a rounding apart."""
    pairs = ((speed.decode, other.decode), (speed.prefill, other.prefill))
    return any(abs(a.mid - b.mid) > _SAME_SHARE * b.mid for a, b in pairs)


def _disk_bytes(filled: Filled) -> int:
    return filled.memory.host.disk_bytes


def _given(wished: bool | None, otherwise: bool) -> bool:
    return otherwise if wished is None else wished
