"""llama.cpp's own sampler chain, in the order llama.cpp's tools use. No Qt here."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence
from typing import Any

from models.errors import InvalidSettingError
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.tokens import Vocabulary
from models.runtime.protocol import Sampling

_DRY_BREAKERS = (b"\n", b":", b'"', b"*")
# LLAMA_DEFAULT_SEED, the next number, makes llama.cpp draw one and not say which.
_LARGEST_SEED = (1 << 32) - 2
_BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (-1.0, 100.0),
    "top_k": (-1, (1 << 31) - 1),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (0.01, 10.0),
    "presence_penalty": (-10.0, 10.0),
    "frequency_penalty": (-10.0, 10.0),
    "penalty_last_n": (-1, 1 << 30),
    "dry_multiplier": (0.0, 100.0),
    "dry_base": (0.0, 100.0),
    "dry_allowed_length": (0, 1 << 30),
    "dry_penalty_last_n": (-1, 1 << 30),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "seed": (-1, _LARGEST_SEED),
}


def check_sampling(sampling: Sampling) -> None:
    """Refuse values outside their bounds.

    Raises:
        InvalidSettingError: names the value and its bounds.
    """
    for name, (low, high) in _BOUNDS.items():
        value = getattr(sampling, name)
        if not low <= value <= high:
            raise InvalidSettingError(f"{name} must lie between {low:g} and {high:g}, not {value}.")


def _look_back(last_n: int, n_ctx: int) -> int:
    """Bound a look-back length by the context; llama.cpp allocates this many entries."""
    return n_ctx if last_n < 0 else min(last_n, n_ctx)


class SamplerChain:
    """A native sampler chain; free it with ``close``.

    Args:
        library: the started library.
        vocabulary: of the checkpoint.
        sampling: checked settings; a seed of -1 is drawn.
        n_ctx: length of the context, what "-1" means for look-back lengths.
    """

    def __init__(
        self, library: LlamaLibrary, vocabulary: Vocabulary, sampling: Sampling, n_ctx: int
    ) -> None:
        self._api = library.api
        self.seed = sampling.seed if sampling.seed >= 0 else secrets.randbelow(_LARGEST_SEED + 1)
        self._handle: Any = self._api.llama_sampler_chain_init(
            self._api.llama_sampler_chain_default_params()
        )
        self._looks_back = False
        self._add_penalties(vocabulary, sampling, n_ctx)
        self._add_dry(vocabulary, sampling, n_ctx)
        self._add_choice(sampling)

    def _add(self, sampler: Any) -> None:
        self._api.llama_sampler_chain_add(self._handle, sampler)

    def _add_penalties(self, vocabulary: Vocabulary, sampling: Sampling, n_ctx: int) -> None:
        last_n = _look_back(sampling.penalty_last_n, n_ctx)
        penalties = (sampling.frequency_penalty, sampling.presence_penalty)
        if last_n == 0 or (sampling.repeat_penalty == 1.0 and penalties == (0.0, 0.0)):
            return
        self._looks_back = True
        self._add(
            self._api.llama_sampler_init_penalties(
                vocabulary.size, last_n, sampling.repeat_penalty, *penalties
            )
        )

    def _add_dry(self, vocabulary: Vocabulary, sampling: Sampling, n_ctx: int) -> None:
        last_n = _look_back(sampling.dry_penalty_last_n, n_ctx)
        if sampling.dry_multiplier == 0.0 or last_n == 0:
            return
        self._looks_back = True
        breakers = (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS)  # read during the call
        self._add(
            self._api.llama_sampler_init_dry(
                vocabulary.handle,
                sampling.dry_multiplier,
                sampling.dry_base,
                sampling.dry_allowed_length,
                last_n,
                breakers,
                len(_DRY_BREAKERS),
            )
        )

    def _add_choice(self, sampling: Sampling) -> None:
        if sampling.temperature <= 0.0:
            self._add(self._api.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            self._add(self._api.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1.0:
            self._add(self._api.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0.0:
            self._add(self._api.llama_sampler_init_min_p(sampling.min_p, 1))
        if sampling.xtc_probability > 0.0:
            self._add(
                self._api.llama_sampler_init_xtc(
                    sampling.xtc_probability, sampling.xtc_threshold, 1, self.seed
                )
            )
        self._add(self._api.llama_sampler_init_temp(sampling.temperature))
        self._add(self._api.llama_sampler_init_dist(self.seed))

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Show the prompt to penalties that look back (as llama.cpp's server does)."""
        if self._looks_back:
            for token in tokens:
                self._api.llama_sampler_accept(self._handle, token)

    def sample(self, context: Any) -> int:
        """Return the next token from the last decoded position, and accept it."""
        token: int = self._api.llama_sampler_sample(self._handle, context, -1)
        return token

    def close(self) -> None:
        """Free the chain and its samplers."""
        if self._handle:
            self._api.llama_sampler_free(self._handle)
            self._handle = None
