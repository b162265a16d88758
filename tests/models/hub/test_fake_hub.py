"""The fake hub itself: what other tests rely on, asked with the standard library's client."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from helpers.fake_hub import COMMIT, TOKEN, FakeHub, Fault, SparseContent, fake_hub

DATA = bytes(range(256)) * 40
TESTS_DIR = Path(__file__).resolve().parents[2]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        running.add("o/r", "m.gguf", DATA)
        yield running


class Answer:
    """An answer read to its end, or to where it broke off."""

    def __init__(self, url: str, method: str = "GET", **headers: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        try:
            connection.request(method, url.split(parts.netloc, 1)[1], headers=headers)
            response = connection.getresponse()
            self.status, self.headers = response.status, response.headers
            self.error: Exception | None = None
            try:
                self.body = response.read()
            except http.client.IncompleteRead as error:
                self.body, self.error = error.partial, error
            except OSError as error:
                self.body, self.error = b"", error
        finally:
            connection.close()


def located(hub: FakeHub, path: str = "m.gguf", commit: str = COMMIT) -> str:
    """Return a signed address at the CDN."""
    return Answer(f"{hub.endpoint}/o/r/resolve/{commit}/{path}", "HEAD").headers["Location"]


def test_a_file_is_redirected_with_its_digest(hub):
    answer = Answer(f"{hub.endpoint}/o/r/resolve/main/m.gguf")
    digest = hashlib.sha256(DATA).hexdigest()
    assert (answer.status, answer.headers["X-Repo-Commit"]) == (302, COMMIT)
    assert answer.headers["X-Linked-Etag"] == f'"{digest}"'
    assert answer.headers["X-Linked-Size"] == str(len(DATA))
    whole = Answer(answer.headers["Location"])
    assert (whole.status, whole.body) == (200, DATA)


def test_parts_of_a_file(hub):
    url = located(hub)
    part = Answer(url, Range="bytes=10-19")
    assert (part.status, part.body) == (206, DATA[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(DATA)}"
    assert Answer(url, Range=f"bytes={len(DATA) - 5}-").body == DATA[-5:]
    assert Answer(url, Range=f"bytes={len(DATA)}-").status == 416
    other = Answer(url, Range="bytes=0-3", **{"If-Range": '"another"'})
    assert (other.status, other.body) == (200, DATA)


def test_an_address_lives_as_long_as_it_should(hub):
    url = located(hub)
    assert Answer(url).status == 200
    hub.url_life_s = 0.0
    assert Answer(located(hub)).status == 403
    hub.signature += 1
    assert Answer(url).status == 403
    assert Answer(url.replace("Signature=", "Signature=x")).status == 403


def test_a_large_file_is_given_in_parts_only(hub):
    size_bytes = 465_000_000_000
    hub.add("o/r", "large.gguf", SparseContent(size_bytes, seed=3))
    hub.whole_limit_bytes = 50_000_000_000
    url = located(hub, "large.gguf")
    assert Answer(url).status == 400
    part = Answer(url, Range=f"bytes={size_bytes - 100}-{size_bytes - 1}")
    assert (part.status, len(part.body)) == (206, 100)


def test_made_up_bytes_are_the_same_in_every_part():
    content = SparseContent(3_000_000, seed=5)
    whole = content.part(0, 2_999_999)
    assert len(whole) == 3_000_000
    assert hashlib.sha256(whole).hexdigest() == content.sha256
    for first, last in ((0, 0), (3, 11), (1_048_570, 1_048_590), (1_048_576, 2_999_999)):
        assert content.part(first, last) == whole[first : last + 1]
    assert whole[:1_000_000] != whole[1_048_576:2_048_576]
    assert SparseContent(3_000_000, seed=6).part(8, 100) != whole[8:101]


BROKEN = {
    "reset": (Fault("reset", after=100), OSError),
    "cut": (Fault("cut", after=100), http.client.IncompleteRead),
}


@pytest.mark.parametrize(("fault", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_connection_breaks_off(hub, fault, kind):
    url = located(hub)
    hub.fail("cdn", fault)
    assert isinstance(Answer(url).error, kind)
    assert hub.seen("cdn")[-1].size_sent_bytes == 100
    assert Answer(url).body == DATA


def test_what_a_bad_line_does_to_a_part(hub):
    url = located(hub)

    def part(kind: str, **options: int) -> Answer:
        hub.fail("cdn", Fault(kind, **options))
        return Answer(url, Range="bytes=100-199")

    assert part("corrupt", after=7).body == DATA[100:107] + b"\x6a" + DATA[108:200]
    assert part("garbage_range").body == DATA[107:207]
    assert part("garbage_range").headers["Content-Range"] == f"bytes 100-199/{len(DATA)}"
    shifted = part("other_bytes")
    assert shifted.headers["Content-Range"] == f"bytes 107-199/{len(DATA)}"
    assert shifted.body == DATA[107:200]
    short = part("short")
    assert (short.body, short.headers["Content-Range"]) == (DATA[100:150], "bytes 100-149/10240")
    assert part("wrong_size", after=3).headers["Content-Range"] == "bytes 100-199/10243"
    assert part("no_range").status == 200
    assert part("page").body.startswith(b"<html>")
    assert part("status", status=418).status == 418
    assert part("expire").status == 403
    assert Answer(located(hub), Range="bytes=100-199").body == DATA[100:200]


def test_faults_are_for_what_they_name(hub):
    hub.add("o/r", "other.gguf", DATA)
    hub.fail("cdn", Fault("status", 500), path=r"/m\.gguf", times=2)
    hub.fail("hub", Fault("status", 501), method="GET")
    assert Answer(located(hub, "other.gguf")).status == 200
    assert [Answer(located(hub)).status for _ in range(3)] == [500, 500, 200]
    assert Answer(f"{hub.endpoint}/o/r/resolve/main/m.gguf").status == 501
    hub.fail("cdn", Fault("status", 500), times=None)
    assert [Answer(located(hub)).status for _ in range(3)] == [500] * 3
    hub.mend()
    assert Answer(located(hub)).status == 200


def test_another_file_is_another_commit(hub):
    old_url = located(hub)
    commit = hub.replace("o/r", "m.gguf", b"GGUF, newer")
    assert Answer(located(hub, commit=commit)).body == b"GGUF, newer"
    assert Answer(located(hub, commit="main")).body == b"GGUF, newer"
    assert Answer(located(hub)).body == Answer(old_url).body == DATA
    hub.forget_history("o/r")
    assert Answer(f"{hub.endpoint}/o/r/resolve/{COMMIT}/m.gguf").status == 404


def test_a_slow_line_and_its_length(hub):
    hub.rate_bytes_s = 1_000_000.0
    answers: list[Answer] = []
    url = located(hub)
    threads = [threading.Thread(target=lambda: answers.append(Answer(url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    hub.wait_for_bytes(len(DATA))
    for thread in threads:
        thread.join()
    assert [answer.body for answer in answers] == [DATA] * 3
    hub.wait_for_bytes(3 * len(DATA))
    assert hub.sent_bytes == 3 * len(DATA)


def test_readers_at_the_same_time_are_counted(hub):
    url = located(hub)
    hub.fail("cdn", Fault("stall", after=10), times=3)
    threads = [threading.Thread(target=lambda: Answer(url)) for _ in range(3)]
    for thread in threads:
        thread.start()
    hub.wait_for(lambda: hub.most_at_once == 3)
    hub.wait_for_bytes(30)
    hub.drop_connections()
    hub.closing.set()
    for thread in threads:
        thread.join()


def test_huggingface_hub_itself_is_content(hub, tmp_path):
    """Its own download, with its own idea of what a hub answers."""
    hub.add("o/r", "README.md", "# Hello")
    hub.gated.add("o/r")
    code = (
        "import sys\n"
        "from huggingface_hub import HfApi, hf_hub_download\n"
        "ask = {'endpoint': sys.argv[1], 'token': sys.argv[2]}\n"
        "for name in ('m.gguf', 'README.md'):\n"
        "    print(hf_hub_download('o/r', name, cache_dir=sys.argv[3], **ask))\n"
        "api = HfApi(**ask)\n"
        "print(sorted(entry.path for entry in api.list_repo_tree('o/r', recursive=True)))\n"
        "print(api.model_info('o/r', expand=['gguf', 'sha']).sha)\n"
    )
    environ = os.environ | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, hub.endpoint, TOKEN, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model, readme, tree, sha = done.stdout.splitlines()
    assert Path(model).read_bytes() == DATA
    assert Path(readme).read_text(encoding="utf-8") == "# Hello"
    assert (tree, sha) == ("['README.md', 'm.gguf']", COMMIT)
    assert {request.authorization for request in hub.seen("cdn")} == {None}


def test_a_folder_is_served_by_a_program(tmp_path):
    folder = tmp_path / "owner" / "model" / "Q4"
    folder.mkdir(parents=True)
    (folder / "m.gguf").write_bytes(DATA)
    program = subprocess.Popen(
        [sys.executable, "-m", "helpers.fake_hub", "--serve", str(tmp_path)],
        cwd=TESTS_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        endpoint = program.stdout.readline().strip()
        listed = json.loads(Answer(f"{endpoint}/api/models/owner/model?blobs=true").body)
        assert listed["siblings"][0]["lfs"]["sha256"] == hashlib.sha256(DATA).hexdigest()
        first = Answer(f"{endpoint}/owner/model/resolve/main/Q4/m.gguf")
        assert Answer(first.headers["Location"]).body == DATA
        assert Answer(first.headers["Location"], Range="bytes=5-9").body == DATA[5:10]
    finally:
        program.terminate()
        program.communicate()
