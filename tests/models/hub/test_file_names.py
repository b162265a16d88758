"""Names from the hub on every system: a table of what people upload, and properties."""

from __future__ import annotations

import ntpath
import sys
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UnsafeNameError
from models.hub.file_names import (
    MAX_NAME_BYTES,
    MAX_NAME_CHARS,
    MAX_PATH_CHARS,
    check_collisions,
    is_fetchable,
    is_text,
    safe_folder,
    safe_target,
)

GOOD = [
    "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf",
    "UD-Q2_K_XL/DeepSeek-V3-0324-UD-Q2_K_XL-00001-of-00006.gguf",
    "DeepSeek-R1.Q4_K_M (1).gguf",
    "a b/c+d@e=f,g~h.gguf",
    "模型/深度求索-7B.gguf",
    "модель.gguf",
    "modèle.gguf",
    "हिन्दी.gguf",
    "CONSOLE.gguf",
    "com10.gguf",
    "null.gguf",
    "README.md",
    "-rf.gguf",
    "m" * (MAX_NAME_CHARS - 5) + ".gguf",
]
BAD = [
    "", "/", "/etc/passwd", "a//b.gguf", "a/", "../evil.gguf", "a/../b.gguf", "./a.gguf", "..", ".",
    "...", ".git/config", ".cache/huggingface/x.gguf", ".fathom/m.gguf.json", "a/.hidden.gguf",
    "CON", "con.gguf", "NUL.gguf", "aux.tar.gguf", "PRN .gguf", "COM1.gguf", "lpt9", "CONIN$",
    "conout$.gguf", "COM\u00b9.gguf", "dir/nul/m.gguf",
    "model.gguf:stream", "C:\\models\\m.gguf", "C:m.gguf", "\\\\server\\share\\m.gguf", "a\\b.gguf",
    'quote".gguf', "what?.gguf", "star*.gguf", "a<b.gguf", "a>b.gguf", "a|b.gguf",
    "dot.", "space .gguf ", "space ", " lead.gguf", "folder./m.gguf", "folder /m.gguf",
    "m\x00.gguf", "m\n.gguf", "m\x1b[31m.gguf", "m\x7f.gguf", "m\x85.gguf",
    "x\u202efgg.gguf", "m\u200b.gguf", "m\u200d.gguf", "m\ufeff.gguf", "m\u2066.gguf",
    "m\ud800.gguf", "m\u2028.gguf", "m\u00a0.gguf", "\uff0e\uff0e/m.gguf", "a\uff0fb.gguf",
    "$HOME.gguf", "`id`.gguf", "%TEMP%.gguf", "a;b.gguf", "a&b.gguf", "a'b.gguf", "#m.gguf",
    "\U0001f600.gguf", "m" * (MAX_NAME_CHARS + 1), "模" * 100, "/".join(["m" * 50] * 5),
]  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_names_that_people_use(path):
    assert safe_target(path) == unicodedata.normalize("NFC", path)


@pytest.mark.parametrize("path", BAD)
def test_names_that_no_file_should_get(path):
    with pytest.raises(UnsafeNameError) as caught:
        safe_target(path)
    # The message goes to terminals and windows: nothing of it may act there.
    assert caught.value.message.isprintable()


def test_accents_are_composed():
    assert safe_target("mode\u0300le.gguf") == "mod\u00e8le.gguf"


TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="aA.bB /\\:~-_ \u202e\u0301\u00b9CONULTP1$", max_size=40),
    st.lists(st.sampled_from(["..", ".", "", "con", "m.gguf", "UD-Q4", " ", "é"])).map("/".join),
)


def _is_reserved(part: str) -> bool:
    if sys.version_info >= (3, 13):
        return ntpath.isreserved(part)
    return PureWindowsPath(part).is_reserved()


@given(TEXTS)
def test_whatever_is_allowed_stays_below_its_folder_on_every_system(path):
    try:
        target = safe_target(path)
    except UnsafeNameError:
        return
    assert safe_target(target) == target
    assert len(target) <= MAX_PATH_CHARS
    root = PurePosixPath("/root/models")
    assert (root / target).is_relative_to(root)
    assert ".." not in PurePosixPath(target).parts
    windows = PureWindowsPath("C:/models") / target
    assert windows.is_relative_to("C:/models")
    # No drive, no stream, and nothing that Windows would call otherwise.
    assert [part.rstrip(". ") for part in windows.parts[1:]] == list(windows.parts[1:])
    assert not any(_is_reserved(part) for part in target.split("/"))
    assert all(len(part.encode()) <= MAX_NAME_BYTES for part in target.split("/"))


@given(TEXTS)
def test_whatever_is_allowed_can_be_made_here(path):
    try:
        target = safe_target(path)
    except UnsafeNameError:
        return
    # What lies beside a file while it is fetched has a longer name.
    assert all(len(part.encode()) + len(".part.json") <= 255 for part in target.split("/"))
    assert Path(target).as_posix() == target


@pytest.mark.parametrize(
    "targets",
    [
        ["a.gguf", "A.gguf"],
        ["q4/m.gguf", "Q4/M.GGUF"],
        ["stra\u00dfe.gguf", "STRASSE.gguf"],
        ["a.gguf", "A.gguf/b.gguf"],
        ["x/y.gguf", "X"],
        ["a.gguf", "a.gguf"],
        ["\ufb01le.gguf", "file.gguf"],
    ],
)
def test_names_that_mean_the_same_file_somewhere(targets):
    with pytest.raises(UnsafeNameError, match="same file"):
        check_collisions(targets)


def test_names_that_differ():
    check_collisions(["q4/a.gguf", "q4/b.gguf", "Q8/a.gguf", "README.md", "q/4/a.gguf"])


def test_the_folder_of_a_repository():
    assert safe_folder("unsloth/DeepSeek-R1-GGUF") == "unsloth/DeepSeek-R1-GGUF"
    for name in ("unsloth", "a/b/c", "../b", "con/model", "owner/aux"):
        with pytest.raises(UnsafeNameError):
            safe_folder(name)


FETCHED = ["m.gguf", "Q4/M.GGUF", "README.md", "LICENSE", "license.txt", "LICENSE-MODEL", "NOTICE",
           "MODEL_LICENSE", "LICENSE-CODE.md", "USE_POLICY.md"]  # fmt: skip
NOT_FETCHED = ["m.safetensors", "pytorch_model.bin", "modeling.py", "m.gguf.part1of2", "m.gguf.exe",
               "config.json", "sub/README.md", "README.html", "m.pkl", "gguf", ""]  # fmt: skip


def test_only_models_and_a_few_texts_are_fetched():
    assert [path for path in FETCHED if not is_fetchable(path)] == []
    assert [path for path in NOT_FETCHED if is_fetchable(path)] == []
    assert not is_text("m.gguf")
