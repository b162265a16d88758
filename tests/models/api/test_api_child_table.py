"""Who is let in by the real child: every row of the table but the honest ones stays outside."""

import itertools

import psutil
import pytest

from helpers.api_client import KEY, PAGE, RunningServer, raw_head, read_all
from models.api.protocol import Asked, AskedForModels, Failed, ModelsKnown, ServedModel, TurnedAway

REFUSED_BY_SCRIPT = 418
BODY = b'{"messages": [{"role": "user", "content": "Hi"}]}'


def script(event):
    """Answer at once: what reaches the parent is recognised by its answer."""
    if isinstance(event, Asked):
        yield Failed(event.id, REFUSED_BY_SCRIPT, "script", "The script has no answer.")
    if isinstance(event, AskedForModels):
        yield ModelsKnown(event.id, (ServedModel("demo", 2048),))


@pytest.fixture(scope="module")
def server():
    child = RunningServer(script)
    yield child
    assert child.close() == 0
    assert child.stderr == b""


def reached(server):
    """Return the questions that have reached the parent since the last call."""
    assert server.ask(server.head(path="/v1/models")).status == 200
    passed_over = (TurnedAway, AskedForModels)
    return [event for event in server.so_far() if not isinstance(event, passed_over)]


def request(server, method, fields):
    body = BODY if method == "POST" else b""
    path = "/v1/chat/completions" if method == "POST" else "/health"
    pairs = [(name, value) for name, value in fields if value is not None]
    pairs.append(("Connection", "close"))
    if body:
        pairs.append(("Content-Length", str(len(body))))
    return server.ask(raw_head(method, path, pairs) + body)


HOSTS = {"127.0.0.1:{port}": True, "LocalHost:{port}": True, "evil.example:{port}": False,
         "localhost:1": False}  # fmt: skip
ORIGINS = {None: True, PAGE: True, "https://evil.example": False}
SITES = {None: True, "none": True, "cross-site": False}
KINDS = {"application/json": True, "text/plain": False}
KEYS = {f"Bearer {KEY}": True, f"Bearer {KEY}x": False, None: False}
METHODS = ("POST", "GET", "OPTIONS")
TABLE = list(itertools.product(HOSTS, ORIGINS, SITES, KINDS, KEYS, METHODS))


def expected_status(row):
    """Say it again, in other words than the program."""
    host, origin, site, kind, key, method = row
    if not HOSTS[host] or not ORIGINS[origin] or (origin is None and not SITES[site]):
        return 403
    if method == "OPTIONS":
        return 204 if origin else 403
    if not KEYS[key]:
        return 401
    if method == "POST":
        return REFUSED_BY_SCRIPT if KINDS[kind] else 415
    return 200


def test_only_honest_rows_of_the_table_pass(server):
    reached(server)
    wrong, questions = [], 0
    for row in TABLE:
        host, origin, site, kind, key, method = row
        fields = [
            ("Host", host.format(port=server.port)),
            ("Origin", origin),
            ("Sec-Fetch-Site", site),
            ("Content-Type", kind),
            ("Authorization", key),
        ]
        answer = request(server, method, fields)
        status = expected_status(row)
        cors = {PAGE} if origin == PAGE and HOSTS[host] else set()
        seen = {value for name, value in answer.headers.items() if "allow-origin" in name}
        if answer.status != status or seen != cors:
            wrong.append((row, answer.status, status, seen))
        questions += status == REFUSED_BY_SCRIPT
    assert wrong == []
    assert 0 < questions < len(TABLE) / 15
    assert len(reached(server)) == questions


def test_every_answer_says_what_it_must_not_be_taken_for(server):
    for raw in (
        server.head(),
        server.head(host="evil"),
        server.head(path="/none"),
        b"nonsense\n\n",
    ):
        headers = server.ask(raw).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"] == "default-src 'none'"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers
        assert "access-control-allow-credentials" not in headers


OTHER_HOSTS = (
    "localhost", "127.0.0.1", "localhost.:{port}", "127.0.0.1.:{port}", "127.1:{port}",
    "2130706433:{port}", "0x7f.0.0.1:{port}", "0.0.0.0:{port}", "[::]:{port}",
    "[::ffff:127.0.0.1]:{port}", "[0:0:0:0:0:0:0:1]:{port}", "localhost:{port}0",
    "localhost:0{port}", "localhost:+{port}", "localhost: {port}", "localhost :{port}",
    "user@localhost:{port}", "localhost:{port}@evil.example", "localhost:{port}.evil.example",
    "localhost:{port}/", "localhost:{port},evil.example", "localhost.evil.example:{port}",
    "127.0.0.1.nip.io:{port}", "localhost:{port}#", "\xa0localhost:{port}", "",
)  # fmt: skip


def test_other_spellings_of_this_machine_are_not_this_machine(server):
    reached(server)
    own = f"127.0.0.1:{server.port}".encode()
    for host in OTHER_HOSTS:
        other = host.format(port=server.port).encode("latin-1")
        answer = server.ask(server.question().replace(own, other))
        assert answer.status in (400, 403), host
        assert answer.error["code"] in ("bad_host", "bad_request"), host
    assert reached(server) == []
    for name in ("127.0.0.1", "localhost", "[::1]", "LOCALHOST"):
        assert server.ask(server.head(host=f"{name}:{server.port}")).status == 200


def test_two_hosts_are_none(server):
    reached(server)
    for host in (f"127.0.0.1:{server.port}", "evil.example"):
        raw = server.question().replace(b"\r\n", f"\r\nHost: {host}\r\n".encode(), 1)
        assert server.ask(raw).status == 400
    assert server.ask(server.question().replace(b"host:", b"x-host:", 1)).status == 400
    assert reached(server) == []


OTHER_ORIGINS = (
    "http://chat.example", "https://chat.example:444", "https://chat.example.evil.example",
    "https://evil.example#https://chat.example", "https://xchat.example",
    "https://chat.example/", "https://user@chat.example", "file://", "null", "NULL", "*", "",
    "https://chat.example, https://evil.example", "http://localhost:{port}",
    "http://127.0.0.1:{port}", "https://\xe7hat.example",
)  # fmt: skip


def test_only_pages_allowed_by_name_may_ask(server):
    sites = (None, "same-origin", "none", "same-site")
    for template, site in itertools.product(OTHER_ORIGINS, sites):
        origin = template.format(port=server.port)
        answer = server.ask(server.head(origin=origin, sec_fetch_site=site))
        assert answer.status == 403, origin
        assert answer.error["code"] == "origin_not_allowed"
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_an_allowed_page_may_ask_however_its_name_is_written(server):
    for origin in (PAGE, PAGE.upper(), f"{PAGE}:443"):
        answer = server.ask(server.head(origin=origin, sec_fetch_site="cross-site"))
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"
    two = server.head(origin=PAGE).replace(b"\r\n", f"\r\nOrigin: {PAGE}\r\n".encode(), 1)
    assert server.ask(two).status == 403


def test_a_page_that_is_allowed_still_needs_the_key_and_may_read_why(server):
    answer = server.ask(server.head(origin=PAGE, authorization=None))
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_preflights_of_allowed_pages_are_answered_and_of_no_others(server):
    asks = {
        "authorization": None,
        "access_control_request_method": "POST",
        "access_control_request_headers": "Authorization, content-type,x-stainless-os, X-Evil",
        "access_control_request_private_network": "true",
    }
    answer = server.ask(server.head("OPTIONS", "/v1/chat/completions", origin=PAGE, **asks))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-private-network"] == "true"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert allowed == ["accept", "authorization", "content-type", "x-stainless-os"]
    assert "access-control-allow-credentials" not in answer.headers
    for origin in ("https://evil.example", "null", None):
        answer = server.ask(server.head("OPTIONS", "/v1/chat/completions", origin=origin, **asks))
        assert answer.status == 403
        assert not any(name.startswith("access-control") for name in answer.headers)


OTHER_KEYS = (
    "", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key}x", "Bearer x{key}",
    "Bearer {upper}", "Bearer \xff", "Bearer {key},Bearer {key}", "Bearer {key} x",
)  # fmt: skip


def test_without_the_key_nothing_is_told(server):
    for key, path in itertools.product(OTHER_KEYS, ("/v1/models", "/v1/models/demo", "/nothing")):
        sent = key.format(key=KEY, upper=KEY.upper())
        answer = server.ask(server.head(path=path, authorization=sent))
        assert answer.status == 401, sent
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.body.decode()


def test_two_keys_are_none(server):
    raw = server.head().replace(b"\r\n", f"\r\nAuthorization: Bearer {KEY}\r\n".encode(), 1)
    assert server.ask(raw).status == 401
    assert server.ask(server.head(authorization=f"bearer   {KEY}")).status == 200


FORMS = (
    ("application/json", True), ("Application/JSON ; Charset=UTF-8", True),
    ('application/json; charset="utf-8"', True), ("application/json;", True),
    ("application/json; charset=utf-16", False), ("application/jsonx", False),
    ("text/plain;application/json", False), ("application/x-www-form-urlencoded", False),
    ("multipart/form-data; boundary=application/json", False), ("text/json", False),
    ("application/json, text/plain", False), ("", False),
)  # fmt: skip


def test_forms_of_web_pages_cannot_ask(server):
    reached(server)
    length = str(len(BODY))
    for kind, passes in FORMS:
        head = server.head("POST", "/chat/completions", content_type=kind, content_length=length)
        answer = server.ask(head + BODY)
        assert answer.status == (REFUSED_BY_SCRIPT if passes else 415), kind
        assert len(reached(server)) == passes, kind


def test_a_packed_body_is_refused(server):
    head = server.head(
        "POST", "/v1/chat/completions", content_encoding="gzip", content_length=str(len(BODY))
    )
    assert server.ask(head + BODY).status == 415


PLACES = (
    ("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/v1/models/", 404),
    ("GET", "//v1/models", 404),
    ("GET", "/v1/../v1/models", 404), ("GET", "/etc/passwd", 404), ("GET", "/docs", 404),
    ("POST", "/v1/completions", 404), ("POST", "/v1/embeddings", 404),
    ("POST", "/v1/load", 404), ("DELETE", "/v1/models/demo", 405), ("POST", "/v1/models", 405),
    ("GET", "/v1/chat/completions", 405), ("PUT", "/health", 405),
    ("TRACE", "/health", 405), ("CONNECT", "evil.example:443", 404), ("BREW", "/health", 405),
    ("GET", "http://evil.example/v1/models", 404), ("GET", "*", 404),
    ("GET", "/v1/models/other", 404), ("GET", "/v1/models/demo", 200),
    ("GET", "/models", 200), ("GET", "/v1/models?limit=1", 200), ("GET", "/v1/%6dodels", 200),
    ("POST", "/chat/completions", REFUSED_BY_SCRIPT),
    ("POST", "/beta/chat/completions", REFUSED_BY_SCRIPT),
)  # fmt: skip


def test_nothing_else_is_there(server):
    for method, path, status in PLACES:
        raw = server.question(path=path) if method == "POST" else server.head(method, path)
        answer = server.ask(raw)
        assert answer.status == status, path
        if status in (404, 405):
            assert answer.error["message"]


def test_a_head_has_no_body(server):
    with server.connect() as client:
        client.sendall(server.head("HEAD"))
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert body == b""


def test_models_are_told_as_openai_tells_them(server):
    data = server.ask(server.head(path="/v1/models")).data
    assert data["object"] == "list"
    [model] = data["data"]
    assert (model["id"], model["object"], model["context_length"]) == ("demo", "model", 2048)
    assert server.ask(server.head(path="/v1/models/demo")).data == model
    error = server.ask(server.head(path="/v1/models/other")).error
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_the_system_tells_that_it_listens_on_the_loopback_alone(server):
    process = psutil.Process(server.process.pid)
    sockets = [each for each in process.net_connections("all") if each.status == "LISTEN"]
    assert [tuple(each.laddr) for each in sockets] == [("127.0.0.1", server.port)]
    assert server.listening.address == "127.0.0.1"
    assert process.children() == []
    files = process.open_files()
    assert files == []
