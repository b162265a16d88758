"""From settings and options to a question for the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.question import question
from models.runtime.protocol import PromptMessage, Sampling
from models.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.toml")


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
