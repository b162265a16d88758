"""The verbs of the frozen program: each brings the modules, children and data that it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_hub import CERTIFICATE, FakeHub, fake_hub
from helpers.frozen_program import RUN_FIGURES, FrozenProgram
from helpers.tiny_gguf import CHATML, TinyModel, write_tiny
from models.version import VERSION

REPOSITORY = "maker/DeepSeek-Tiny-GGUF"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub(CERTIFICATE) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        # Certificates are the system's: none are shipped.
        monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
        # Whether a mirror can be compared with Hugging Face is tested with the hub.
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def test_version(frozen: FrozenProgram) -> None:
    assert frozen.output("--version") == f"Fathom {VERSION}\n"


def test_doctor_finds_everything(frozen: FrozenProgram) -> None:
    report = json.loads(frozen.output("doctor", "--json"))
    assert report["ok"]
    # What the machine is short of is no fault of the program.
    may_warn = {"decode", "disk", "memory"}
    found = {check["name"]: check for check in report["checks"]}
    assert [c for n, c in found.items() if c["status"] != "ok" and n not in may_warn] == []
    assert {"packages", "Qt", "llama.cpp", "engine", "demo", "decode"} <= set(found)
    assert report["demo"]["completion_tokens"] > 0


def test_run_answers(frozen: FrozenProgram) -> None:
    words = ("run", "demo", "--prompt", "Grüße, 世界!", "--max-tokens", "12", "--temp", "0")
    assert frozen.output(*words, stderr=RUN_FIGURES.pattern).strip()
    answer = json.loads(frozen.output(*words, "--json"))
    assert answer["text"].strip()


def test_no_code_from_outside_is_run(
    frozen: FrozenProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the current folder nor Python's variables bring other modules in."""
    for name in ("app", "models", "json", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')\n")
    outside = FrozenProgram(
        frozen.folder, env={"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}
    )
    done = outside.run("run", "demo", "--prompt", "Hi", "--max-tokens", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert RUN_FIGURES.fullmatch(done.stderr)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("devices",), "devices"),
        (("ls",), "checkpoints"),
        (("inspect", "demo"), "architecture"),
    ],
)
def test_other_verbs(frozen: FrozenProgram, words: tuple[str, ...], key: str) -> None:
    assert key in json.loads(frozen.output(*words, "--json"))


def test_plan_asks_the_oracle_child(frozen: FrozenProgram) -> None:
    plan = json.loads(frozen.output("plan", "demo", "--json"))
    assert plan["tier"] == "exact"


def test_a_strange_template_is_tried_out_in_its_child(
    frozen: FrozenProgram, tmp_path: Path
) -> None:
    template = "{{ 'Answer in rhymes.' }}" + CHATML
    file = write_tiny(tmp_path / "Strange-Q8_0.gguf", TinyModel(template=template))
    assert "Answer in rhymes." in frozen.output("inspect", file)


def test_search_pull_verify_and_delete(
    frozen: FrozenProgram,
    hub: FakeHub,
    base_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write_tiny(tmp_path / "DeepSeek-Tiny-Q8_0.gguf", TinyModel("deepseek2"))
    hub.add(REPOSITORY, file.name, file.read_bytes())
    where = ("--json", "--basedir", base_dir)

    def told(*words: str) -> list[Any]:
        return [json.loads(line) for line in frozen.output(*words, *where).splitlines()]

    (hits,) = told("search", "tiny")
    assert [hit["repository"] for hit in hits["hits"]] == [REPOSITORY]
    assert told("pull", REPOSITORY)[-1]["state"] == "ready"
    target = base_dir / "data" / "models" / REPOSITORY / file.name
    assert target.read_bytes() == file.read_bytes()
    told("verify", "DeepSeek-Tiny-Q8_0")
    # Nobody's certificate but one that the system knows.
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "cannot prove that it is" in frozen.refusal("search", "tiny")
