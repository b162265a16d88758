"""What the engine child costs: its decode speed against a bare loop and llama-cpp-python's Llama.

    python -m benchmarks.decode_overhead [--rounds 9] [--tokens 128] [--model PATH] [--json]

Three children with the same checkpoint, settings, prompt, sampler and seed answer in turn, in one
run, each round in another order:

- ``engine``: Fathom's engine child, asked through its supervisor; timed here, in the parent, from
  the first piece of text that arrives to ``done``;
- ``bare``: a loop of llama_decode and llama_sampler_sample in ctypes, nothing else; timed in the
  loop, from the first token to the last;
- ``llama``: llama-cpp-python's ``Llama``, streaming a completion; timed likewise.

Everything is computed on the CPU, with one thread for each physical core. Printed: medians, and
the medians of the rounds' ratios. Whatever else runs on the machine is measured too: threads wait
for each other at barriers, so a stolen core costs ten times its share, and a round in which other
programs took more than a tenth of a core is not trusted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from models.hardware.cpu import physical_cores  # noqa: E402
from models.library.demo import find_demo  # noqa: E402
from models.runtime.command import engine_command, engine_environment  # noqa: E402
from models.runtime.protocol import (  # noqa: E402
    Delta,
    Done,
    Event,
    GenerateRequest,
    LoadSettings,
    PromptMessage,
    Sampling,
)
from models.runtime.supervisor import EngineSupervisor, EventReceived  # noqa: E402

SYSTEM = "You are a helpful assistant."
QUESTION = "Tell a long story about a lighthouse keeper and the sea, in many chapters."
# SmolLM2's own template (ChatML), so that the children without templates get the same tokens.
PROMPT = (
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
N_CTX, N_BATCH, N_UBATCH = 1024, 1024, 512
SEED = 7
SAMPLING = Sampling(seed=SEED)
TRUSTED_OTHER_CORES = 0.1
AIM_BARE = 0.98
WAIT_S = 600.0


@dataclass(frozen=True)
class Measurement:
    """One answer of one child."""

    tokens: int
    decode_s: float
    other_cores: float
    own_tok_s: float | None = None

    @property
    def rate_tok_s(self) -> float:
        """Tokens after the first one, per second."""
        return (self.tokens - 1) / self.decode_s if self.decode_s > 0 else 0.0


class Contender(ABC):
    """A child that answers the prompt once each time it is asked."""

    pid = 0

    @abstractmethod
    def answer(self, tokens: int) -> tuple[int, float, float | None]:
        """Return tokens, seconds from the first to the last, and the child's own rate."""

    def measure(self, tokens: int) -> Measurement:
        """Answer, and watch how much of the machine other programs take meanwhile."""
        children = [psutil.Process(), psutil.Process(self.pid)]
        before = _busy_s(), sum(map(_cpu_s, children)), time.monotonic()
        count, decode_s, own = self.answer(tokens)
        elapsed_s = time.monotonic() - before[2]
        ours_s = sum(map(_cpu_s, children)) - before[1]
        others_s = max(_busy_s() - before[0] - ours_s, 0.0)
        return Measurement(count, decode_s, others_s / elapsed_s, own)


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    guest_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guest_s - idle_s)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class EngineContender(Contender):
    """Fathom's engine child through its supervisor."""

    def __init__(self, model: Path, threads: int) -> None:
        self._arrivals: dict[int, tuple[float, float]] = {}
        self._supervisor = EngineSupervisor(engine_command(), listener=self._listen)
        settings = LoadSettings(
            n_ctx=N_CTX,
            n_batch=N_BATCH,
            n_ubatch=N_UBATCH,
            n_threads=threads,
            devices=(),
            n_gpu_layers=0,
            flash_attn="on",
        )
        self._supervisor.wait(self._supervisor.load(str(model), settings), WAIT_S)
        self.pid = self._supervisor.pid or 0

    def _listen(self, notice: object) -> None:
        if not isinstance(notice, EventReceived):
            return
        event: Event = notice.event
        if event.request_id is not None and isinstance(event.body, (Delta, Done)):
            now = time.monotonic()
            first, _ = self._arrivals.get(event.request_id, (now, now))
            self._arrivals[event.request_id] = (first, now)

    def answer(self, tokens: int) -> tuple[int, float, float | None]:
        """Ask through the protocol; time in this process."""
        messages = (PromptMessage("system", SYSTEM), PromptMessage("user", QUESTION))
        request_id = self._supervisor.generate(GenerateRequest(messages, SAMPLING, tokens))
        done = self._supervisor.wait(request_id, WAIT_S).body
        assert isinstance(done, Done)
        first, last = self._arrivals[request_id]
        return done.usage.completion_tokens, last - first, done.usage.decode_tok_s

    def close(self) -> None:
        """End the child."""
        self._supervisor.stop()


class LoopContender(Contender):
    """This file's own child, ``--loop bare`` or ``--loop llama``."""

    def __init__(self, kind: str, model: Path, threads: int) -> None:
        command = [sys.executable, str(Path(__file__)), "--loop", kind, "--model", str(model)]
        self._child = subprocess.Popen(
            [*command, "--threads", str(threads)],
            env=engine_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self._child.pid
        if self._read() != {"ready": kind}:
            raise SystemExit(f"the child {kind} did not start")

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("a child of the benchmark died")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def answer(self, tokens: int) -> tuple[int, float, float | None]:
        """Let the child answer and time itself."""
        assert self._child.stdin
        self._child.stdin.write(f"{tokens}\n")
        self._child.stdin.flush()
        answer = self._read()
        return answer["tokens"], answer["decode_s"], None

    def close(self) -> None:
        """End the child."""
        self._child.communicate()


# --- in the children ----------------------------------------------------------------------------


def bare_loop(model_path: str, threads: int) -> Callable[[int], tuple[int, float]]:
    """Load with llama.cpp's C functions; return what decodes so many tokens and times them."""
    from models.runtime.llama.bindings import LlamaLibrary

    library = LlamaLibrary()
    library.start()
    api = library.api
    model_params = api.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = api.llama_model_load_from_file(model_path.encode(), model_params)
    params = api.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = N_CTX, N_BATCH, N_UBATCH
    params.n_threads = params.n_threads_batch = threads
    params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
    context = api.llama_init_from_model(model, params)
    vocabulary = api.llama_model_get_vocab(model)
    text = PROMPT.encode()
    buffer = (api.llama_token * len(text))()
    count = api.llama_tokenize(vocabulary, text, len(text), buffer, len(text), False, True)

    def answer(limit: int) -> tuple[int, float]:
        chain = _native_chain(api)
        api.llama_memory_clear(api.llama_get_memory(context), True)
        api.llama_decode(context, api.llama_batch_get_one(buffer, count))
        one = (api.llama_token * 1)()
        batch = api.llama_batch_get_one(one, 1)
        first = last = 0.0
        tokens = 0
        while tokens < limit:
            one[0] = api.llama_sampler_sample(chain, context, -1)
            last = time.monotonic()
            first = first or last
            tokens += 1
            if api.llama_vocab_is_eog(vocabulary, one[0]) or tokens == limit:
                break
            api.llama_decode(context, batch)
        api.llama_sampler_free(chain)
        return tokens, last - first

    return answer


def _native_chain(api: Any) -> Any:
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    for sampler in (
        api.llama_sampler_init_top_k(SAMPLING.top_k),
        api.llama_sampler_init_top_p(SAMPLING.top_p, 1),
        api.llama_sampler_init_min_p(SAMPLING.min_p, 1),
        api.llama_sampler_init_temp(SAMPLING.temperature),
        api.llama_sampler_init_dist(SEED),
    ):
        api.llama_sampler_chain_add(chain, sampler)
    return chain


def llama_loop(model_path: str, threads: int) -> Callable[[int], tuple[int, float]]:
    """Load with llama-cpp-python's ``Llama``; return what streams so many tokens."""
    import llama_cpp

    from models.runtime.llama.bindings import LlamaLibrary

    # Loads the backend modules of this build, which the package itself does not do.
    LlamaLibrary().start()
    llama = llama_cpp.Llama(
        model_path,
        n_ctx=N_CTX,
        n_batch=N_BATCH,
        n_ubatch=N_UBATCH,
        n_threads=threads,
        n_threads_batch=threads,
        n_gpu_layers=0,
        flash_attn=True,
        verbose=False,
    )
    prompt = llama.tokenize(PROMPT.encode(), add_bos=False, special=True)

    def answer(limit: int) -> tuple[int, float]:
        first = last = 0.0
        tokens = 0
        for chunk in llama.create_completion(
            prompt,
            max_tokens=limit,
            temperature=SAMPLING.temperature,
            top_k=SAMPLING.top_k,
            top_p=SAMPLING.top_p,
            min_p=SAMPLING.min_p,
            repeat_penalty=SAMPLING.repeat_penalty,
            seed=SEED,
            stream=True,
        ):
            if not chunk["choices"][0]["text"]:
                continue  # the last one only says why it stopped
            last = time.monotonic()
            first = first or last
            tokens += 1
        return tokens, last - first

    return answer


def child(kind: str, model: str, threads: int) -> int:
    """Answer each number on standard input with one JSON line."""
    protocol = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = (bare_loop if kind == "bare" else llama_loop)(model, threads)
    print(json.dumps({"ready": kind}), file=protocol, flush=True)
    for line in sys.stdin:
        tokens, decode_s = answer(int(line))
        print(json.dumps({"tokens": tokens, "decode_s": decode_s}), file=protocol, flush=True)
    # Skips the interpreter's own tear-down, in which ctypes libraries may call freed callbacks.
    os._exit(0)


# --- the rounds -----------------------------------------------------------------------------------

NAMES = ("engine", "bare", "llama")


@contextmanager
def contenders(model: Path, threads: int) -> Iterator[dict[str, Contender]]:
    """Start the three children and end them."""
    with ExitStack() as stack:
        engine = EngineContender(model, threads)
        stack.callback(engine.close)
        found: dict[str, Contender] = {"engine": engine}
        for kind in ("bare", "llama"):
            loop = LoopContender(kind, model, threads)
            stack.callback(loop.close)
            found[kind] = loop
        yield found


def run_rounds(
    found: dict[str, Contender], rounds: int, tokens: int, progress: Callable[[str], None]
) -> list[dict[str, Measurement]]:
    """Let all answer in turn, each round beginning with another; one round to warm up."""
    for name in NAMES:
        found[name].answer(min(tokens, 16))
    measured = []
    for number in range(rounds):
        start = number % len(NAMES)
        order = NAMES[start:] + NAMES[:start]
        result = {name: found[name].measure(tokens) for name in order}
        measured.append({name: result[name] for name in NAMES})
        rates = "  ".join(f"{name} {result[name].rate_tok_s:6.2f}" for name in NAMES)
        others = max(result[name].other_cores for name in NAMES)
        progress(f"round {number + 1:2}: {rates} tok/s   others {others:.2f} cores")
    return measured


def is_quiet(one: dict[str, Measurement]) -> bool:
    """Whether other programs left this round alone."""
    return all(measured.other_cores <= TRUSTED_OTHER_CORES for measured in one.values())


def summarize(measured: list[dict[str, Measurement]], threads: int, tokens: int) -> dict[str, Any]:
    """Return medians and ratios, of the quiet rounds when there are at least three."""
    quiet = [one for one in measured if is_quiet(one)]
    used = quiet if len(quiet) >= 3 else measured
    rates = {name: [one[name].rate_tok_s for one in used] for name in NAMES}
    own = [one["engine"].own_tok_s or 0.0 for one in used]
    return {
        "threads": threads,
        "tokens": tokens,
        "rounds": len(measured),
        "quiet_rounds": len(quiet),
        "trusted": used is quiet,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "other_cores": statistics.median(
            measurement.other_cores for one in used for measurement in one.values()
        ),
        "decode_tok_s": {name: _spread(values) for name, values in rates.items()},
        "engine_own_tok_s": _spread(own),
        "engine_to_bare": _spread(_ratios(rates["engine"], rates["bare"])),
        "engine_to_llama": _spread(_ratios(rates["engine"], rates["llama"])),
        "aim_engine_to_bare": AIM_BARE,
    }


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True) if other > 0]


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {"median": 0.0, "min": 0.0, "max": 0.0}
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _print(summary: dict[str, Any]) -> None:
    print(f"\n{summary['tokens']} tokens, {summary['threads']} threads, medians (min to max):")
    rows = {**summary["decode_tok_s"], "engine by its own clock": summary["engine_own_tok_s"]}
    for name, spread in rows.items():
        print(_row(name, spread, "7.2f"))
    print(_row("engine / bare", summary["engine_to_bare"], "7.3f"))
    print(_row("engine / llama", summary["engine_to_llama"], "7.3f"))
    print(f"  aim: engine / bare at least {AIM_BARE}, engine / llama above 1")
    if not summary["trusted"]:
        print(
            f"  NOT TO BE TRUSTED: {summary['quiet_rounds']} of {summary['rounds']} rounds were "
            f"quiet; other programs took {summary['other_cores']:.2f} cores (median)."
        )


def _row(name: str, spread: dict[str, float], form: str) -> str:
    low, high = (format(spread[key], form).strip() for key in ("min", "max"))
    return f"  {name:24} {spread['median']:{form}}  ({low} to {high})"


def main() -> int:
    """Run the benchmark, or one of its children."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--model", type=Path, default=None, help="default: the demo checkpoint")
    parser.add_argument("--threads", type=int, default=0, help="default: physical cores")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--loop", choices=("bare", "llama"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    threads = options.threads or physical_cores().value
    model = options.model or find_demo()
    if model is None:
        print("The demo checkpoint is not installed; give one with --model.", file=sys.stderr)
        return 2
    if options.loop:
        return child(options.loop, str(model), threads)

    def progress(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    with contenders(model, threads) as found:
        measured = run_rounds(found, options.rounds, options.tokens, progress)
    summary = summarize(measured, threads, options.tokens)
    if options.json:
        print(json.dumps(summary))
    else:
        _print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
