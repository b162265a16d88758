"""The main job without a display: load the demo, ask, read the answer, find it again later."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtGui import QImage

from helpers.fathom_process import assert_one_clear_line, fathom
from helpers.whole_program import engine_variable
from models.chat.store import ConversationStore, Message
from models.paths import user_paths

pytestmark = pytest.mark.model

QUESTION = "Why is the sky blue?"
HELPERS = Path(__file__).parents[1] / "helpers"
FIGURES = re.compile(
    r"^(?P<rate>[\d.]+) tok/s, first token after [\d.]+ m?s, (?P<tokens>\d+) tokens, "
    r"context (?P<used>[\d,]+) of (?P<total>[\d,]+) tokens$",
    re.MULTILINE,
)
MEMORY = re.compile(r"^\S+: weights [\d.]+ MB, KV [\d.]+ MB, compute [\d.]+ MB$", re.MULTILINE)


def stored(base_dir: Path) -> list[Message]:
    """Return the messages of the only conversation."""
    with ConversationStore(user_paths(base_dir).conversations_file) as store:
        (conversation,) = store.list_conversations()
        assert store.problems() == []
        return store.path_to_leaf(conversation.id)


def check_output(output: str) -> str:
    """Check question and figures; return the answer."""
    figures = FIGURES.search(output)
    assert figures, output
    assert float(figures["rate"]) > 0
    assert 0 < int(figures["tokens"]) <= int(figures["used"])
    assert int(figures["used"]) < int(figures["total"].replace(",", ""))
    assert MEMORY.search(output), output
    assert output.startswith(f"{QUESTION}\n\n")
    answer = output[len(QUESTION) : figures.start()].strip()
    assert answer
    return answer


def check_picture(file: Path) -> None:
    """Check that a picture shows a window: of its size, with text and surfaces."""
    picture = QImage(str(file))
    assert picture.width() >= 640
    assert picture.height() >= 480
    colors = {
        picture.pixel(x, y)
        for y in range(0, picture.height(), 5)
        for x in range(0, picture.width(), 5)
    }
    assert len(colors) > 30


@pytest.mark.parametrize(
    "folder",
    [
        "base",
        pytest.param(
            "Ünser  Büro & 模型 'q' %20 $HOME",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="not a name there"),
        ),
    ],
)
def test_the_main_job_and_the_conversation_afterwards(
    tmp_path: Path, folder: str, open_window: Any
) -> None:
    base_dir = tmp_path / folder / "data"
    picture = tmp_path / folder / "pictures" / "window.png"
    done = fathom("--basedir", base_dir, "--demo-question", QUESTION, "--screenshot", picture)
    assert (done.returncode, done.stderr) == (0, "")
    answer = check_output(done.stdout)
    assert done.stdout.endswith(f"Screenshot: {picture}\n")
    check_picture(picture)

    messages = stored(base_dir)
    assert [message.role for message in messages] == ["user", "assistant"]
    assert messages[0].content == QUESTION
    assert messages[1].content.strip() == answer
    assert messages[1].usage is not None
    assert messages[1].usage["completion_tokens"] > 0

    window = open_window(base_dir)
    window.until(lambda: window.page.transcript.turn_ids == [m.id for m in messages])
    assert window.answer_text() == messages[1].content
    assert QUESTION in " ".join(window.titles())
    # The checkpoint used last is loaded again by itself.
    window.until(lambda: window.program.loader.status.is_ready)
    window.close()
    assert stored(base_dir) == messages


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"hello": "error"}, "No libllama."),
        ({"hello": "old"}, "version"),
        ({"load": "error"}, "No. Another one."),
        ({"load": "kill"}, "memory"),
        ({"generate": "segv_late"}, "SIGSEGV"),
    ],
)
def test_a_broken_engine_ends_in_one_line(
    base_dir: Path, script: dict[str, Any], words: str
) -> None:
    done = fathom(
        "--basedir",
        base_dir,
        "--demo-question",
        QUESTION,
        env=engine_variable(HELPERS / "problem_engine.py", script),
    )
    assert words in assert_one_clear_line(done, code=1)


def test_an_engine_without_its_library_ends_in_one_line(base_dir: Path, tmp_path: Path) -> None:
    package = tmp_path / "broken" / "llama_cpp"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "llama_cpp.py").write_text("raise OSError('libllama.so: cannot open')\n")
    path = os.pathsep.join([str(package.parent), os.environ["PYTHONPATH"]])
    done = fathom("--basedir", base_dir, "--demo-question", QUESTION, env={"PYTHONPATH": path})
    line = assert_one_clear_line(done, code=1)
    assert "cannot be loaded on this machine" in line
    assert "fathom doctor" in line


def test_a_picture_that_cannot_be_written_is_told(base_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "is-a-folder.png"
    folder.mkdir()
    script = {"record": str(tmp_path / "said.jsonl"), "pieces": 30}
    env = engine_variable(HELPERS / "recording_engine.py", script)
    done = fathom(
        "--basedir", base_dir, "--demo-question", QUESTION, "--screenshot", folder, env=env
    )
    assert done.returncode == 1
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr
