"""What the open window costs: decode speed while the answer streams into it, against headless.

    python -m benchmarks.decode_with_window [--rounds 5] [--tokens 400] [--platform offscreen]
        [--json]

Two whole programs answer the same question greedily with the demo checkpoint, in turn, each round
in the other order: ``fathom run`` (no window), and the program with its window, which asks through
the composer and paints the answer. Both figures come from the engine child (tokens after the first
over their time), so that only what the parent takes from it differs. ``--platform xcb`` paints on a
real display (DISPLAY must be set).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from models.chat.store import ConversationStore  # noqa: E402
from models.paths import user_paths  # noqa: E402
from models.settings import Settings  # noqa: E402

QUESTION = "Tell a long story about a lighthouse keeper and the sea, in many chapters."
LIMIT_S = 600


def headless_tok_s(tokens: int) -> float:
    """Return the decode rate of ``fathom run``."""
    command = [sys.executable, "-m", "app", "run", "demo", "--prompt", QUESTION]
    command += ["--temp", "0", "--max-tokens", str(tokens), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=LIMIT_S)
    result: dict[str, Any] = json.loads(done.stdout)
    if result["completion_tokens"] != tokens:
        sys.exit(f"headless stopped after {result['completion_tokens']} tokens")
    return float(result["decode_tok_s"])


def window_tok_s(tokens: int, platform: str) -> float:
    """Return the decode rate of the program with its window."""
    with tempfile.TemporaryDirectory() as folder:
        paths = user_paths(Path(folder))
        paths.create()
        settings = Settings(paths.settings_file)
        settings.load()
        settings.set("sampling.temperature", 0.0)
        settings.set("chat.max_tokens", tokens)
        settings.save()
        command = [sys.executable, "-m", "app", "--basedir", folder, "--demo-question", QUESTION]
        environment = {**os.environ, "QT_QPA_PLATFORM": platform}
        subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=LIMIT_S
        )
        with ConversationStore(paths.conversations_file) as store:
            (conversation,) = store.list_conversations()
            answer = store.path_to_leaf(conversation.id)[-1]
    usage = answer.usage or {}
    if usage.get("completion_tokens") != tokens:
        sys.exit(f"the window's answer stopped after {usage.get('completion_tokens')} tokens")
    return float(usage["decode_tok_s"])


def main() -> int:
    """Measure, print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--platform", default="offscreen")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    without: list[float] = []
    with_window: list[float] = []
    for round_number in range(options.rounds):
        pair = [
            lambda: without.append(headless_tok_s(options.tokens)),
            lambda: with_window.append(window_tok_s(options.tokens, options.platform)),
        ]
        for measure in pair if round_number % 2 == 0 else reversed(pair):
            measure()
        if not options.json:
            print(f"headless {without[-1]:6.1f} tok/s, window {with_window[-1]:6.1f} tok/s")
    ratios = [window / plain for window, plain in zip(with_window, without, strict=True)]
    result = {
        "headless_tok_s": statistics.median(without),
        "window_tok_s": statistics.median(with_window),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "load_average": os.getloadavg()[0],
        "platform": options.platform,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"median: headless {result['headless_tok_s']:.1f}, window {result['window_tok_s']:.1f},"
            f" ratio {result['ratio']:.3f} ({result['ratio_low']:.3f} to"
            f" {result['ratio_high']:.3f}); load average {result['load_average']:.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
