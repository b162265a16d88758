"""The child draws, is killed when it hangs, and does not begin for ever."""

import json
import subprocess
import sys

import pytest

from models.errors import FormulaError, StoppedError
from models.formulas.child import MAX_ENDED, FormulaChild
from models.formulas.protocol import Formula

X = Formula("x^2")


@pytest.fixture
def make():
    made = []

    def child(script=None, **options):
        command = [sys.executable, "-c", script] if script else None
        made.append(FormulaChild(command=command, **options))
        return made[-1]

    yield child
    for one in made:
        one.close()


def test_formulas_are_drawn_one_after_the_other_by_one_child(make):
    child = make()
    first = child.draw(X)
    assert first is not None
    assert first.width > 500
    assert child.draw(Formula(r"\nonsense{x}")) is None
    assert child.draw(X) == first
    assert child.is_running


@pytest.mark.parametrize(
    ("begin", "end"), [(r"\frac{1}{", "}"), (r"\sqrt{", "}"), ("x^{", "}"), (r"\left(", r"\right)")]
)
def test_deep_ones_take_time_that_grows_with_their_depth_only(make, begin, end):
    """Laid out as the library does it by itself, each of these would take hours."""
    child = make()
    assert child.draw(Formula(begin * 39 + "x" + end * 39, is_display=True)) is not None


READY = 'import sys, time; print(\'{"event": "ready"}\', flush=True); sys.stdin.readline(); '


def test_one_that_hangs_is_ended_and_too_many_end_it_all(make):
    child = make(READY + "time.sleep(600)", deadline_s=0.05)
    for _ in range(MAX_ENDED):
        assert child.draw(X) is None
        assert not child.is_running
    with pytest.raises(FormulaError, match="no longer drawn"):
        child.draw(X)


def test_what_took_too_long_is_forgiven_after_a_while(make):
    child = make(READY + "time.sleep(600)", deadline_s=0.01, forgiven_s=0.0)
    for _ in range(MAX_ENDED + 1):
        assert child.draw(X) is None


def test_only_what_keeps_a_processor_busy_is_ended_early(make):
    """Where others have the processor, a formula is late and not too long."""
    late = 'time.sleep(0.6); print(\'{"id": 1, "event": "refused"}\', flush=True)'
    child = make(READY + late + "; sys.stdin.read()", deadline_s=0.4)
    assert child.draw(X) is None
    assert child.is_running
    assert not child._ended
    busy = make(READY + "[None for _ in iter(int, 1)]", deadline_s=0.4)
    assert busy.draw(X) is None
    assert not busy.is_running


@pytest.mark.parametrize(
    "rest", ["sys.exit(3)", "print('nonsense', flush=True)", "print('{\"id\": 7}', flush=True)"]
)
def test_one_that_dies_or_talks_nonsense_costs_one_formula(make, rest):
    child = make(READY + rest)
    assert child.draw(X) is None
    assert not child.is_running


def test_one_that_does_not_start_is_told(make):
    with pytest.raises(FormulaError):
        make("raise SystemExit(1)").draw(X)
    with pytest.raises(FormulaError):
        make('print(\'{"event": "other"}\')').draw(X)


def test_it_can_be_stopped_while_it_draws(make):
    child = make(READY + "time.sleep(600)")
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 40

    with pytest.raises(StoppedError):
        child.draw(X, stop=stop)
    assert not child.is_running


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_memory_and_files_are_bounded_in_the_child():
    script = (
        "import resource as r; from models.formulas import worker as w; w._bound();"
        "print(r.getrlimit(r.RLIMIT_AS)[0] == w.MEMORY_LIMIT_BYTES, r.getrlimit(r.RLIMIT_FSIZE)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True", "0"]


def test_it_ends_with_its_input_in_the_midst_of_a_formula():
    """The window may be killed while a formula takes for ever."""
    matrix = r"\\".join(["&".join("abcdefghij")] * 10)
    request = {"id": 1, "source": rf"\begin{{pmatrix}}{matrix}\end{{pmatrix}}", "is_display": True}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "app", "draw-formulas"],
        input=json.dumps(request) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events == ["ready"]
