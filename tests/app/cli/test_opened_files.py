"""What a file manager hands over: ``fathom FILE.gguf`` opens the window with that checkpoint."""

from __future__ import annotations

import pytest

from app.cli.parser import parse


@pytest.mark.parametrize("name", ["/home/me/My models/R1.gguf", "run.GGUF", "模型.gguf"])
def test_a_file_is_opened_in_the_window(name: str) -> None:
    options = parse([name])
    assert (options.verb, options.window_model) == (None, name)
    assert str(parse([name, "--basedir", "/x"]).base_dir) == "/x"


def test_nothing_else_is_taken_for_a_file() -> None:
    assert parse([]).window_model is None
    assert parse(["inspect", "a.gguf"]).verb == "inspect"
    for words in (["a.gguf", "b.gguf"], ["-a.gguf"], ["notes.txt"]):
        with pytest.raises(SystemExit):
            parse(words)
