"""Where releases lie: a web server on loopback that speaks TLS, knows ranges and can lie."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.fake_hub import CERTIFICATE
from models.updates.signing import sign

PLATFORM = "linux-x86_64"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def new_key() -> tuple[Ed25519PrivateKey, bytes]:
    """Return a new private key, and the public one as Fathom takes it."""
    key = Ed25519PrivateKey.generate()
    return key, key.public_key().public_bytes_raw()


@dataclass
class ReleaseSite:
    """Files by path, redirects by path, and what was asked for.

    Attributes:
        address: of its root, without a slash at the end.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def manifest_url(self) -> str:
        """Where ``offer`` puts the manifest."""
        return f"{self.address}/manifest.json"

    def offer(self, key: Ed25519PrivateKey, version: str, data: bytes, **changed: Any) -> None:
        """Put a release of one file there; ``changed`` are fields of its payload."""
        name = f"fathom_{version}_amd64.deb"
        self.files[f"/{name}"] = data
        self.files["/manifest.json"] = sign(self.payload(version, name, data, **changed), key)

    def payload(self, version: str, name: str, data: bytes, **changed: Any) -> dict[str, Any]:
        """Return what a sound manifest says."""
        now = datetime.now(UTC).replace(microsecond=0)
        file = {
            "platform": PLATFORM,
            "kind": "deb",
            "name": name,
            "url": f"{self.address}/{name}",
            "size_bytes": len(data),
            "sha256": sha256(data).hexdigest(),
        }
        return {
            "product": "fathom",
            "format": 1,
            "version": version,
            "date": now.isoformat(),
            "expires": (now + timedelta(days=90)).isoformat(),
            "minimum_version": "0.0.1",
            "notes_url": f"{self.address}/notes",
            "notes": "It is quicker.",
            "files": [file],
            **changed,
        }


@contextmanager
def release_site(*, speaks_tls: bool = True) -> Iterator[ReleaseSite]:
    """Run a server until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append(self.path)
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = site.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
            first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, len(data) - 1)
            part = data[first : last + 1]
            self.send_response(206 if wanted else 200)
            if wanted:
                end = first + len(part) - 1
                self.send_header("Content-Range", f"bytes {first}-{end}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    if speaks_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if speaks_tls else "http"
    site = ReleaseSite(f"{scheme}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
