"""The release workflow: pinned, few rights, no secret in a script, only commands that exist."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILE = ROOT / ".github" / "workflows" / "release.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def scripts(workflow: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in steps(workflow) if "run" in step)


def test_whatever_is_foreign_is_pinned(workflow: dict[str, Any]) -> None:
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
    # Each with the version for people; one commit is one version everywhere.
    lines = re.findall(r"uses: (\S+) (# v[\d.]+)\n", FILE.read_text(encoding="utf-8"))
    assert len(lines) == sum("uses" in step for step in steps(workflow))
    assert len(set(lines)) == len({use for use, _ in lines})
    assert "@sha256:" in workflow["jobs"]["linux"]["container"]


def test_only_the_last_job_may_write(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        writes = {right for right, what in job["permissions"].items() if what == "write"}
        allowed = {"publish": {"contents", "id-token", "attestations"}, "windows": {"id-token"}}
        assert writes == allowed.get(name, set())
        # NVIDIA's compiler takes hours; GitHub ends every job after six.
        assert job["timeout-minutes"] <= {"cuda": 330}.get(name, 180)
    publish = workflow["jobs"]["publish"]
    assert set(publish["needs"]) == set(workflow["jobs"]) - {"publish"}
    assert publish["if"] == "github.ref_type == 'tag'"


def test_secrets_reach_one_step_each_and_no_command_line(workflow: dict[str, Any]) -> None:
    assert "secrets." not in scripts(workflow)
    assert "${{" not in scripts(workflow), "what is put into a script could end it and go on"
    assert "set -x" not in scripts(workflow)
    for job in workflow["jobs"].values():
        assert "secrets." not in str(job.get("env", {}))
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_every_command_of_ours_is_there(workflow: dict[str, Any]) -> None:
    text = scripts(workflow)
    modules = set(re.findall(r"python3? -m (app\.[\w.]+)", text))
    assert {"app.packaging.release", "app.packaging.smoke", "app.packaging.deb"} <= modules
    assert [name for name in modules if find_spec(name) is None] == []
    targets = set(re.findall(r"^\s*make ([a-z-]+)", text, re.M))
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {"package", "test-package"} <= targets <= set(known)
    called = re.findall(r"^\s*(app/\S+\.sh)", text, re.M)
    assert [name for name in called if not (ROOT / name).stat().st_mode & 0o100] == []
    assert called
