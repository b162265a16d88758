"""A repository of DeepSeek-R1 at the hub on loopback, and who asks for it."""

from __future__ import annotations

from helpers.fake_hub import TOKEN, FakeHub
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace
from models.network.patience import Patience
from models.transfer.remote import FileSpec, RemoteObject

NAME = "unsloth/DeepSeek-R1-GGUF"
PLACE = RepositoryPlace(NAME)
# As people have it but for the pauses: a machine that is busy with other things is not silence, and
# a second question would be counted.
QUICK = Patience(first_pause_s=0.0)
# For servers that are silent on purpose.
IMPATIENT = Patience(first_pause_s=0.0, silence_s=0.3)
# The same where requests are counted: a slow answer must not look like none.
LESS_PATIENT = Patience(first_pause_s=0.0, silence_s=2.0)
DATA = b"GGUF" + bytes(range(200))
CARD = "---\nlicense: mit\nbase_model: deepseek-ai/DeepSeek-R1\n---\n# DeepSeek R1\n\nThinks.\n"


def hub_at(server: FakeHub, **options: object) -> Hub:
    return Hub(server.endpoint, **({"patience": QUICK} | options))


def remote(server: FakeHub, path: str = "DeepSeek-R1-Q4_K_M.gguf", **changes: object) -> object:
    page = hub_at(server, token=TOKEN).page(PLACE)
    listed = next(file for file in page.files if file.path == path)
    file = {"path": path, "target": path, "size_bytes": listed.size_bytes, "digest": listed.digest}
    about = {"endpoint": server.endpoint, "repository": NAME, "commit": page.commit}
    file |= {key: value for key, value in changes.items() if key in file}
    about |= {key: value for key, value in changes.items() if key in about}
    return RemoteObject(**about, file=FileSpec(**file))


# --- searching ----------------------------------------------------------------------------------
