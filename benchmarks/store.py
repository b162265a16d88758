"""How fast the conversation store is: ``python benchmarks/store.py [--conversations N]``.

Builds a store of many conversations in a temporary folder, then measures what the window waits
for. Figures are medians of several runs, in milliseconds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.chat.conversation import Conversation, Message, Role
from models.chat.store import ConversationStore

MESSAGES_EACH = 20
LONG_CONVERSATION = 5000
ANSWER_CHARACTERS = 100_000
ANSWER_UPDATES = 1000
RUNS = 15
SYLLABLES = ("lo", "ra", "mi", "ten", "dor", "vis", "kan", "pel", "su", "tri", "gon", "bar", "est")


def words(rng: random.Random, count: int) -> str:
    """Return text of made-up words, a few common and many rare, some of them Chinese."""
    out = []
    for _ in range(count):
        draw = rng.random()
        if draw < 0.4:
            out.append(rng.choice(("the", "model", "is", "of", "and", "a")))
        elif draw < 0.5:
            out.append("".join(chr(rng.randrange(0x4E00, 0x4E00 + 3000)) for _ in range(4)))
        else:
            out.append("".join(rng.choice(SYLLABLES) for _ in range(rng.randrange(1, 4))))
    return " ".join(out)


def conversation(
    rng: random.Random, number: int, length: int
) -> tuple[Conversation, list[Message]]:
    """Return one conversation in one branch, 120 words a message."""
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = [
        Message(n, 0, n - 1 if n > 1 else None, roles[1 - n % 2], words(rng, 120), usage={"n": n})
        for n in range(1, length + 1)
    ]
    return Conversation(number, words(rng, 5), number, number, leaf_id=length), messages


def fill(store: ConversationStore, count: int) -> Conversation:
    """Write ``count`` conversations and one very long one; return the long one."""
    rng = random.Random(7)
    began = time.perf_counter()
    for number in range(count):
        store.import_conversation(*conversation(rng, number, MESSAGES_EACH))
    long = store.import_conversation(*conversation(rng, count, LONG_CONVERSATION))
    total = count * MESSAGES_EACH + LONG_CONVERSATION
    print(f"filled: {count + 1} conversations, {total} messages, {elapsed_ms(began):.0f} ms")
    return long


def elapsed_ms(began: float) -> float:
    """Return milliseconds since ``began``."""
    return (time.perf_counter() - began) * 1000


def measure(name: str, work: Callable[[], object], runs: int = RUNS) -> None:
    """Print the median time and processor time of several runs."""
    wall, processor = [], []
    for _ in range(runs):
        began, cpu_began = time.perf_counter(), time.process_time()
        work()
        wall.append(elapsed_ms(began))
        processor.append((time.process_time() - cpu_began) * 1000)
    print(f"{name:<46}{statistics.median(wall):9.2f} ms{statistics.median(processor):9.2f} ms CPU")


def reopen(path: Path) -> None:
    """Open and close the store."""
    with ConversationStore(path):
        pass


def stream(store: ConversationStore) -> None:
    """Print what an update costs early and late in a long answer."""
    asked = store.create_conversation("streaming")
    answer = store.add_message(asked.id, None, "assistant", "", state="streaming")
    text = words(random.Random(8), ANSWER_CHARACTERS)[:ANSWER_CHARACTERS]
    parts = (text[: len(text) * n // ANSWER_UPDATES] for n in range(1, ANSWER_UPDATES + 1))
    tenth = ANSWER_UPDATES // 10
    for name, count in (("first", tenth), ("middle", 8 * tenth), ("last", tenth)):
        label = f"update of a 100 KB answer, {name} {count}"
        measure(label, lambda: store.update_answer(answer.id, next(parts)), count)
    measure("finish it, with its index", lambda: store.finish_answer(answer.id, text), 1)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=2000)
    count = parser.parse_args().conversations
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversations.sqlite3"
        store = ConversationStore(path)
        store.open()
        long = fill(store, count)
        store.close()
        print(f"file: {path.stat().st_size / 1e6:.1f} MB")
        measure("open and close", lambda: reopen(path))
        store.open()
        measure(f"list of {count + 1} conversations", store.list_conversations)
        measure(f"branch of {LONG_CONVERSATION} messages", lambda: store.path_to_leaf(long.id))
        measure(f"tree of {LONG_CONVERSATION} messages", lambda: store.children(long.id))
        first_id = store.path_to_leaf(long.id)[0].id
        measure("newest leaf below its first message", lambda: store.newest_leaf(first_id))
        measure("search, rare word", lambda: store.search("lorami tendor"))
        measure("search, beginning of a word", lambda: store.search("lora"))
        measure("search, one letter", lambda: store.search("l"))
        measure("search, word in every message", lambda: store.search("the model "))
        measure("search, two Chinese characters", lambda: store.search("一丁"))
        measure("user's message, committed", lambda: store.add_message(long.id, None, "user", "a"))
        stream(store)
        measure("whole check (doctor)", store.problems, 1)
        store.delete(long.id)
        measure("purge of the long conversation", store.purge_deleted, 1)
        store.close()


if __name__ == "__main__":
    main()
