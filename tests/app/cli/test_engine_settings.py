"""From settings and options to what the engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.engine_settings import load_settings, question, sampling
from models.runtime.protocol import LoadSettings, PromptMessage, Sampling
from models.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.toml")


def test_defaults_are_the_protocols(settings: Settings) -> None:
    assert load_settings(settings) == LoadSettings()
    assert sampling(settings) == Sampling()


def test_settings_reach_the_engine(settings: Settings) -> None:
    settings.set("engine.n_threads", 3)
    settings.set("engine.kv_type", "q8_0")
    settings.set("engine.n_ctx", 1024)
    settings.set("sampling.top_k", 7)
    loaded = load_settings(settings)
    assert (loaded.n_threads, loaded.type_k, loaded.type_v, loaded.n_ctx) == (
        3, "q8_0", "q8_0", 1024,
    )  # fmt: skip
    assert sampling(settings).top_k == 7


def test_what_is_given_wins_also_when_it_is_zero(settings: Settings) -> None:
    settings.set("engine.n_ctx", 1024)
    settings.set("sampling.seed", 5)
    assert load_settings(settings, n_ctx=0).n_ctx == 0
    given = sampling(settings, temperature=0.0, seed=0)
    assert (given.temperature, given.seed) == (0.0, 0)


def test_a_question_with_and_without_a_system_prompt(settings: Settings) -> None:
    how = Sampling()
    plain = question(settings, "Why?", system=None, max_tokens=None, how=how)
    assert plain.messages == (PromptMessage("user", "Why?"),)
    assert plain.max_tokens == 0
    settings.set("chat.system_prompt", "Be brief.")
    settings.set("chat.max_tokens", 9)
    own = question(settings, "Why?", system=None, max_tokens=None, how=how)
    assert own.messages[0] == PromptMessage("system", "Be brief.")
    assert own.max_tokens == 9
    given = question(settings, "Why?", system="", max_tokens=0, how=how)
    assert given.messages == (PromptMessage("user", "Why?"),)
    assert given.max_tokens == 0
