"""Says in sentences what a plan does and why. Pure, no Qt here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.gguf.shape import Role
from models.planner.budgets import usable_devices
from models.planner.drafts import must_not_repack
from models.planner.machine import GpuKind, Machine
from models.planner.names import all_words, device_words
from models.planner.plan import CPU, DevicePlan, Memory
from models.planner.pre_mla import pre_mla_price
from models.planner.search import Candidate, Search
from models.units import format_bytes, format_rate

# Memory below this is not worth a sentence.
_WORTH_BYTES = 64 * 2**20
_BOUND_WORDS = {
    "ram_bandwidth": "the bandwidth of RAM",
    "cpu_compute": "the processor",
    "pcie": "the link between RAM and GPU",
    "disk": "the disk",
    "network": "the network",
    "fixed": "fixed work per token",
}


def bound_words(bound_by: str) -> str:
    """Return the resource that limits a speed in words: ``the bandwidth of CUDA0``."""
    resource, _, device = bound_by.partition(":")
    if device:
        what = "compute" if resource.endswith("compute") else "memory bandwidth"
        return f"the {what} of {device}"
    return _BOUND_WORDS.get(resource, resource.replace("_", " "))


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers as a text: ``3-60``, ``0-2, 7 and 9-11``."""
    stretches: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if stretches and stretches[-1][1] == number - 1:
            stretches[-1] = (stretches[-1][0], number)
        else:
            stretches.append((number, number))
    words = [str(first) if first == last else f"{first}-{last}" for first, last in stretches]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}"


class Explainer:
    """Explains one candidate of a search."""

    def __init__(self, search: Search, candidate: Candidate, memory: Memory) -> None:
        self._search = search
        self._candidate = candidate
        self._memory = memory
        self._inventory = search.inventory
        self._shape = search.inventory.shape
        self._machine = search.machine
        self._settings = candidate.settings

    def more(self) -> Iterator[str]:
        """Yield what else the plan does, the most important first."""
        yield from self._context()
        yield from self._offload()
        yield from self._host()

    def experts_in_ram(self) -> tuple[list[int], list[int]]:
        """Return the layers of which all, and of which some, routed experts stay in RAM."""
        homes: dict[int, set[bool]] = {}
        device_of = self._candidate.filled.placement.device_of
        for tensor, device in zip(self._shape.tensors, device_of, strict=True):
            if tensor.role is Role.ROUTED_EXPERT and tensor.layer is not None:
                homes.setdefault(tensor.layer, set()).add(device == CPU)
        everything = [layer for layer, here in sorted(homes.items()) if here == {True}]
        some = [layer for layer, here in sorted(homes.items()) if here == {True, False}]
        return everything, some

    @staticmethod
    def _experts_words(everything: Sequence[int], some: Sequence[int]) -> str:
        parts = []
        if everything:
            plural = "s" if len(everything) > 1 else ""
            parts.append(f"the experts of layer{plural} {ranges(everything)}")
        if some:
            plural = "s" if len(some) > 1 else ""
            parts.append(f"some experts' tensors of layer{plural} {ranges(some)}")
        words = " and ".join(parts)
        return f"{words[0].upper()}{words[1:]} stay in RAM."

    # --- placement ------------------------------------------------------------------------------

    def where(self) -> Iterator[str]:
        """Yield where the layers and the experts go."""
        settings = self._settings
        n_layer = self._shape.n_layer
        if not settings.devices or settings.n_gpu_layers == 0:
            yield "Everything is computed by the processor, in RAM."
            yield from self._unused()
            return
        everything, some = self.experts_in_ram()
        first = self._shape.n_layer_all + 1 - settings.n_gpu_layers
        names = all_words(self._machine, settings.devices)
        if first > 0:
            on_gpu = max(n_layer - first, 0)
            yield (
                f"The last {on_gpu} of {n_layer} layers lie on {names}, the first "
                f"{min(first, n_layer)} stay in RAM."
            )
            everything = [layer for layer in everything if layer >= first]
            if everything or some:
                yield self._experts_words(everything, some)
        elif everything or some:
            yield (
                f"Attention and everything that every token needs lie on {names} for all "
                f"{n_layer} layers. {self._experts_words(everything, some)}"
            )
        else:
            yield f"Everything lies on {names}."
        if len(settings.devices) > 1:
            yield self._split_words()
        yield from self._unused()

    def _unused(self) -> Iterator[str]:
        """Yield which devices might be used and are not."""
        wishes, used = self._search.wishes, self._settings.devices
        left = [name for name in usable_devices(self._machine, wishes) if name not in used]
        if left and self._candidate.fits:
            verb = "stays" if len(left) == 1 else "stay"
            yield f"{all_words(self._machine, left)} {verb} unused: it would be no faster with it."

    def _split_words(self) -> str:
        counts: dict[str, int] = {}
        for device in self._candidate.filled.placement.layer_devices[: self._shape.n_layer]:
            counts[device] = counts.get(device, 0) + 1
        parts = [
            f"{counts.get(device, 0)} on {device_words(self._machine, device)}"
            for device in self._settings.devices
            if counts.get(device)
        ]
        return f"Layers: {', '.join(parts)}." if parts else "No layer found room on a GPU."

    # --- memory ---------------------------------------------------------------------------------

    def _context(self) -> Iterator[str]:
        kv_bytes = sum(device.kv_bytes for device in self._memory.devices)
        settings = self._settings
        types = settings.type_k
        if settings.type_v != settings.type_k:
            types += f" and {settings.type_v}"
        text = f"A context of {settings.n_ctx:,} tokens takes {format_bytes(kv_bytes)} ({types})."
        if settings.type_k == "q8_0" and self._search.wishes.type_k is None:
            where = "on the GPU" if settings.devices else "in RAM"
            text += f" In f16 not everything would fit {where}."
        yield text

    def _offload(self) -> Iterator[str]:
        settings = self._settings
        if not settings.devices or not any(self.experts_in_ram()):
            return
        first = next((d for d in self._memory.devices if d.name == settings.devices[0]), None)
        if settings.op_offload and first is not None:
            name = device_words(self._machine, first.name)
            yield (
                "For long prompts the experts are copied to the GPU batch by batch: "
                f"{format_bytes(first.compute_bytes)} of {name} are kept for computing."
            )
        elif not settings.op_offload:
            yield (
                "Prompts are computed where the experts lie: copying them to the GPU would take "
                "room from what is read for every token."
            )

    def _host(self) -> Iterator[str]:
        host = self._memory.host
        if not self._settings.use_extra_bufts and self._search.wishes.use_extra_bufts is None:
            yield self._repacking_words()
        if host.pinned_bytes > _WORTH_BYTES:
            yield f"{format_bytes(host.pinned_bytes)} of RAM are locked for the GPU."

    def _repacking_words(self) -> str:
        if must_not_repack(self._shape, self._machine):
            return (
                "Weights are not repacked into tiles for the processor (AMX): llama.cpp gives up "
                "where a model with latent attention is."
            )
        return (
            "Weights are used as they lie in the file: repacked for the processor they would have "
            "to be held in RAM for good."
        )


def warnings_of(search: Search, candidate: Candidate, memory: Memory) -> tuple[str, ...]:
    """Return what the user should know before loading, as sentences."""
    return (
        *_shape_warnings(search, candidate),
        *_wish_warnings(search),
        *_room_warnings(search, candidate, memory),
        *_disk_warnings(candidate, memory),
    )


def _shape_warnings(search: Search, candidate: Candidate) -> Iterator[str]:
    shape, settings = search.inventory.shape, candidate.settings
    if shape.is_approximate:
        yield (
            f"Fathom does not know the architecture {shape.architecture} in detail: the figures "
            "are approximate."
        )
    price = pre_mla_price(shape, settings.n_ctx)
    if price is not None:
        yield (
            "This file was made before llama.cpp knew latent attention: its KV cache takes "
            f"{format_bytes(price.kv_bytes)} instead of {format_bytes(price.mla_kv_bytes)}. Look "
            "for a newer file of the model."
        )
    if shape.n_ctx_train and settings.n_ctx > shape.n_ctx_train:
        yield f"The model was trained for {shape.n_ctx_train:,} tokens of context."


def _wish_warnings(search: Search) -> Iterator[str]:
    for override in search.wishes.overrides or ():
        if not search.inventory.matching(override.pattern):
            yield f"No tensor of this checkpoint matches {override.pattern}."


def _room_warnings(search: Search, candidate: Candidate, memory: Memory) -> Iterator[str]:
    for device in memory.devices:
        excess = candidate.filled.excess.get(device.name, 0)
        if excess:
            yield _too_little(device, excess, search.machine)


def _disk_warnings(candidate: Candidate, memory: Memory) -> Iterator[str]:
    host = memory.host
    if host.disk_bytes and host.page_cache_bytes:
        share = host.disk_bytes / host.page_cache_bytes
        whole = " of what stays out of VRAM" if candidate.settings.devices else ""
        yield (
            f"{format_bytes(host.disk_bytes)} of the weights ({share:.0%}{whole}) find no room in "
            "RAM and are read from the disk while answering, at about "
            f"{format_rate(candidate.speed.decode.mid)}."
        )


def _too_little(device: DevicePlan, excess: int, machine: Machine) -> str:
    gpu = machine.gpu(device.name)
    what = device_words(machine, device.name)
    if gpu is not None and gpu.kind is GpuKind.RPC:
        what = f"The host {gpu.name}"
    return f"{what} is too small by {format_bytes(excess)}."
