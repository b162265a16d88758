"""Add-ons in the real engine child: used, left alone with a reason, and never its end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.addon_samples import GGML, MODULE, compile_module, engine_with, put_folder
from helpers.engine_process import EngineProcess
from models.runtime.llama.addon_modules import driver_problem


@contextmanager
def engine(folder: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(list(engine_with(folder)))
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0
    # What is wrong with an add-on is a sentence for the reader, and never a line of a log.
    assert [event for event in process.unclaimed if event["event"] == "log"] == []


def listed(folder: Path) -> dict[str, Any]:
    with engine(folder) as process:
        return process.ask("devices")[-1]


def names(found: dict[str, Any]) -> list[str]:
    return [device["name"] for device in found["devices"]]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one module of each kind."""
    folder = tmp_path_factory.mktemp("modules")
    kinds: dict[str, dict[str, str | int]] = {
        "cuda": {},
        "vulkan": {"NAME": "Vulkan", "DESCRIPTION": "The same, by Vulkan"},
        "crash": {"CRASH": 1},
        "old": {"API": 1},
        "alien": {"SCORE": 0},
        "empty": {"IDS": ""},
    }
    for name, macros in kinds.items():
        compile_module(folder / f"{name}.so", **macros)
    return folder


def test_its_device_is_one_of_the_machine(modules: Path, tmp_path: Path) -> None:
    put_folder(tmp_path, modules / "cuda.so")
    found = listed(tmp_path)
    assert names(found) == ["CPU", "CUDA0"]
    assert "CUDA" in found["backends"]
    (state,) = found["addons"]
    assert (state["name"], state["version"], state["problem"]) == ("cuda", "0.1.0", "")


def test_each_that_cannot_be_used_says_why_and_the_engine_works(
    modules: Path, tmp_path: Path
) -> None:
    """One engine with all of them: what crashes while it is opened does so in a copy of it."""
    reasons = {
        "alien": "does not run on this processor",
        "crash": "would end the engine (SIGABRT)",
        "empty": "finds no device",
        "old": "version 1 of ggml's interface",
    }
    for name in reasons:
        put_folder(tmp_path, modules / f"{name}.so", name=name)
    text = tmp_path.parent / "text.so"
    text.write_bytes(b"no library")
    put_folder(tmp_path, text, name="text")
    put_folder(tmp_path, modules / "cuda.so", name="elsewhere", platform="plan9-vax")
    put_folder(tmp_path, modules / "cuda.so", name="older", ggml="0.25.2")
    put_folder(tmp_path, modules / "cuda.so", name="driver", cuda="99.0")
    put_folder(tmp_path, modules / "cuda.so", name="open")
    (tmp_path / "open" / MODULE).chmod(0o666)
    reasons |= {
        "text": "cannot be opened here",
        "elsewhere": "made for plan9-vax",
        "older": f"has 0.3.36 (ggml {GGML})",
        "driver": "NVIDIA driver",
        "open": "Others may write",
    }
    with engine(tmp_path) as process:
        found = process.ask("devices")[-1]
        assert process.ask("devices")[-1]["addons"] == found["addons"]
    said = {state["name"]: state["problem"] for state in found["addons"]}
    assert {name: said[name] for name in reasons if reasons[name] not in said[name]} == {}
    assert names(found) == ["CPU"]


LOADING = """
import json, os, sys
from pathlib import Path
from models.runtime.llama import addon_modules
from models.runtime.llama.bindings import LlamaLibrary

def no_fork():
    raise BlockingIOError(11, "Resource temporarily unavailable")

folder, limit_s, forks = json.loads(sys.argv[1])
addon_modules.TRIAL_LIMIT_S, addon_modules._REAP_LIMIT_S = limit_s, 0.2
if not forks:
    os.fork = no_fork
library = LlamaLibrary()
library.start()
for state in addon_modules.load_addons(library, Path(folder)):
    print(state.name, state.problem, sep=": ")
"""


def loaded(folder: Path, *, limit_s: float = 15.0, forks: bool = True) -> list[str]:
    """Return what a process says that loads the add-ons of a folder within a limit."""
    done = subprocess.run(
        [sys.executable, "-c", LOADING, json.dumps([str(folder), limit_s, forks])],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_those_that_hang_are_left_and_take_one_limit_together(tmp_path: Path) -> None:
    module = compile_module(tmp_path / MODULE, HANG=1)
    for name in ("aa", "bb"):
        put_folder(tmp_path / "addons", module, name=name)
    assert loaded(tmp_path / "addons", limit_s=0.2) == [
        "aa: It gives no answer in time.",
        "bb: It was not tried out, as another one took too long.",
    ]


def test_without_room_for_a_trial_there_is_no_add_on_and_an_engine(
    modules: Path, tmp_path: Path
) -> None:
    put_folder(tmp_path, modules / "cuda.so")
    assert loaded(tmp_path, forks=False) == [
        "cuda: It cannot be tried out (Resource temporarily unavailable)."
    ]


def test_a_trial_that_hangs_ends_after_the_engine_s_end(tmp_path: Path) -> None:
    """The pipes of an engine that was killed stay open for as long as its copy lives."""
    put_folder(tmp_path / "addons", compile_module(tmp_path / MODULE, HANG=1))
    process = subprocess.Popen(
        [sys.executable, "-c", LOADING, json.dumps([str(tmp_path / "addons"), 1.0, True])],
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stderr is not None
        # After what ggml says of its modules.
        assert b"hangs\n" in iter(process.stderr.readline, b"")
        process.kill()
        assert process.wait(10) < 0
        # Not before the copy is gone.
        assert process.stderr.read() == b""


# --- one GPU, two ways ----------------------------------------------------------------------------

CHOOSING = """
import json, os, sys
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.rpc import RpcHosts
from models.runtime.llama.same_gpu import hide_second_ways
library = LlamaLibrary()
library.start()

def choose(files):
    for path in files:
        assert library.ggml.load_one(path.encode())
    hide_second_ways(library)
    devices = [library.ggml.dev_name(device).decode() for device in library.ggml.devices()]
    print(json.dumps([devices, RpcHosts(library).default_devices()]), flush=True)

# ggml forgets no backend: every case has a process of its own.
for files in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        try:
            choose(files)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
"""
A, B, NONE = '"0000:01:00.0"', '"0000:02:00.0"', "0"
UPPER = '"0000:0A:00.0"'
LOWER = '"0000:0a:00.0"'


def way(name: str, ids: str, *, kind: int = 1, description: str = "Test GPU") -> dict[str, Any]:
    return {"NAME": name, "IDS": ids, "KIND": kind, "DESCRIPTION": description}


VULKAN = "A card, by Vulkan"

# Two backends in the order of their registration, the devices in ggml's order that are left, and
# those that are used; None: llama.cpp's own choice is right.
CASES: dict[str, tuple[list[dict[str, Any]], list[str], list[str] | None]] = {
    "the better one wins, registered last": (
        [way("Vulkan", A, description=VULKAN), way("CUDA", A)],
        ["CPU", "CUDA0"],
        ["CUDA0"],
    ),
    "the better one wins, registered first": (
        [way("CUDA", UPPER), way("Vulkan", LOWER, description=VULKAN)],
        ["CPU", "CUDA0"],
        ["CUDA0"],
    ),
    "a second card that only Vulkan drives stays": (
        [way("Vulkan", f"{A}, {B}", description=VULKAN), way("CUDA", A)],
        ["CPU", "Vulkan1", "CUDA0"],
        ["Vulkan1", "CUDA0"],
    ),
    "integrated beside discrete is listed and not used": (
        [way("Vulkan", B, kind=2, description=VULKAN), way("CUDA", A)],
        ["CPU", "Vulkan0", "CUDA0"],
        None,
    ),
    "one that both call integrated": (
        [way("Vulkan", A, kind=2, description=VULKAN), way("CUDA", A, kind=2)],
        ["CPU", "CUDA0"],
        ["CUDA0"],
    ),
    "without an address one name is one GPU": (
        [way("Vulkan", NONE), way("CUDA", A)],
        ["CPU", "CUDA0"],
        ["CUDA0"],
    ),
    "without an address two names are two": (
        [way("Vulkan", NONE, description=VULKAN), way("CUDA", A)],
        ["CPU", "Vulkan0", "CUDA0"],
        None,
    ),
    "two of one backend are what the user asked for": (
        [way("Vulkan", f"{A}, {A}")],
        ["CPU", "Vulkan0", "Vulkan1"],
        None,
    ),
}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is left and used in each case."""
    folder = tmp_path_factory.mktemp("ways")
    files = [
        [
            str(_compiled(folder / f"{case}-{number}.so", **macros))
            for number, macros in enumerate(ways)
        ]
        for case, (ways, _, _) in enumerate(CASES.values())
    ]
    done = subprocess.run(
        [sys.executable, "-c", CHOOSING, json.dumps(files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(zip(CASES, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_gpu_that_two_backends_see_is_one_device(chosen: dict[str, Any], case: str) -> None:
    _, devices, used = CASES[case]
    assert chosen[case] == [devices, used]


def _compiled(target: Path, *, IDS: str, **macros: Any) -> Path:  # noqa: N803 - a macro
    """Compile with a list of addresses, which is no text."""
    source = target.with_suffix(".c")
    plain = Path(__file__).parents[1] / "helpers" / "fake_backend.c"
    source.write_text(f"#define IDS {IDS}\n{plain.read_text()}")
    return compile_module(target, source=source, **macros)


# --- the driver -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("*version = 13010; return 0;", ""),
        ("*version = 13000; return 0;", ""),
        ("*version = 12040; return 0;", "speaks CUDA 12.4, and 13.0 is needed"),
        ("(void)version; return 999;", "does not answer"),
    ],
)
def test_the_driver_s_own_word_decides(tmp_path: Path, body: str, words: str) -> None:
    source = tmp_path / "cuda.c"
    source.write_text(f"int cuDriverGetVersion(int *version) {{ {body} }}\n")
    driver = compile_module(tmp_path / "libcuda.so.1", source=source)
    problem = driver_problem("13.0", str(driver))
    assert words in problem
    assert bool(words) == bool(problem)


def test_without_a_driver_it_says_so(tmp_path: Path) -> None:
    assert "no NVIDIA driver" in driver_problem("13.0", str(tmp_path / "libcuda.so.1"))
    source = tmp_path / "other.c"
    source.write_text("int something_else;\n")
    other = compile_module(tmp_path / "libother.so", source=source)
    assert "no NVIDIA driver" in driver_problem("13.0", str(other))


# --- GPUs that a module has no code for -----------------------------------------------------------

# The GPU at 01 is a GTX 1080, the one at 02 an RTX 40.
DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetByPCIBusId(int *device, const char *address) {
    *device = address[6] - '1';
    return strlen(address) != 12;
}
int cuDeviceGetAttribute(int *value, int which, int device) {
    static const int values[2][2] = {{6, 1}, {8, 9}};
    *value = values[device][which - 75];
    return 0;
}
"""
AGEING = """
import json, sys
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.cuda_age import hide_too_old
from models.runtime.llama.same_gpu import hide_second_ways
driver, *files = sys.argv[1:]
library = LlamaLibrary()
library.start()
before = library.ggml.dev_count()
for path in files:
    assert library.ggml.load_one(path.encode())
new = [library.ggml.dev_get(index) for index in range(before, library.ggml.dev_count())]
said = hide_too_old(library, [one for one in new if b"CUDA" in library.ggml.dev_name(one)], driver)
hide_second_ways(library)
print(json.dumps([said, [library.ggml.dev_name(one).decode() for one in library.ggml.devices()]]))
"""


@pytest.mark.parametrize(
    ("archs", "ids", "words", "left"),
    [
        ("750,800,1200", A, "Test GPU is too old for it: compute capability 7.5", ["Vulkan0"]),
        ("750,800,1200", B, "", ["CUDA0"]),
        ("750,800,1200", f"{A}, {B}", "", ["Vulkan0", "CUDA1"]),
        ("610,750", f"{A}, {B}", "", ["CUDA0", "CUDA1"]),
        ("", A, "", ["CUDA0"]),
        ("750", NONE, "", ["Vulkan0", "CUDA0"]),
    ],
)
def test_a_gpu_too_old_for_cuda_is_left_to_vulkan(
    tmp_path: Path, archs: str, ids: str, words: str, left: list[str]
) -> None:
    source = tmp_path / "driver.c"
    source.write_text(DRIVER)
    driver = compile_module(tmp_path / "libcuda.so.1", source=source)
    known = ids if ids != NONE else A
    vulkan = _compiled(tmp_path / "vulkan.so", **way("Vulkan", known, description=VULKAN))
    cuda = _compiled(tmp_path / "cuda.so", **way("CUDA", ids), ARCHS=archs)
    done = subprocess.run(
        [sys.executable, "-c", AGEING, driver, vulkan, cuda],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said, devices = json.loads(done.stdout)
    assert words in said
    assert bool(words) == bool(said)
    assert devices == ["CPU", *left]
