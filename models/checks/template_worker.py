"""The child that tries out a stranger's chat template, and may be killed for it. No Qt here.

A template is code. Jinja's sandbox keeps it from files and processes, not from looping for ever
or filling the memory. So it is taken apart and rendered in a process that has nothing to lose:
one request, bounded memory and time, and a parent that kills it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.runtime.child_lines import write_event
from models.runtime.child_setup import limit_resources, take_protocol_fd
from models.runtime.protocol import MAX_LINE_BYTES, Json, decode_line, to_json
from models.runtime.wire import build

if TYPE_CHECKING:
    from models.checks.template_protocol import TemplateRequest
    from models.errors import TemplateError

# The interpreter with Jinja takes about 40 MB of address space less its libraries.
MEMORY_LIMIT_BYTES = 512 * 1024 * 1024
# More than the parent waits; for the case that it is gone.
_CPU_LIMIT_S = 10


def main() -> int:
    """Answer one request and end."""
    protocol_fd = take_protocol_fd()
    from models.checks.template_protocol import TemplateRequest
    from models.runtime.llama.template import ChatTemplate  # noqa: F401  Loaded before the limits.

    _bound()
    write_event(protocol_fd, {"event": "ready"})
    line = sys.stdin.buffer.readline(MAX_LINE_BYTES + 1)
    if not line.endswith(b"\n"):
        return 0
    request = build(TemplateRequest, decode_line(line), strict=True)
    write_event(protocol_fd, {"event": "parts", **_parts(request.template)})
    for rendered in _renderings(request):
        write_event(protocol_fd, {"event": "rendered", **rendered})
    write_event(protocol_fd, {"event": "done"})
    # A thread that still renders must not keep the process.
    os._exit(0)


def _parts(template: str) -> Json:
    import jinja2.exceptions

    from models.checks.template_texts import take_apart

    try:
        parts: Json = to_json(take_apart(template))
    except jinja2.exceptions.TemplateError as error:
        return {"problem": f"It is not a valid template: {error.message}"[:1000]}
    except (RecursionError, ValueError, MemoryError):
        return {"problem": "It is too complicated to be taken apart."}
    return {"parts": parts}


def _renderings(request: TemplateRequest) -> Iterator[Json]:
    """Yield the outcomes one by one: what came before a template that hangs is heard."""
    from models.checks.template_protocol import MAX_RENDERED_CHARS
    from models.errors import TemplateError
    from models.runtime.llama.template import ChatTemplate

    try:
        template = ChatTemplate(request.template)
    except TemplateError as error:
        yield _failed(error)
        return
    for case in request.cases:
        try:
            text = template.render(
                case.messages,
                case.options,
                bos_token=request.bos_token,
                eos_token=request.eos_token,
            )
        except TemplateError as error:
            yield _failed(error)
        else:
            is_cut = len(text) > MAX_RENDERED_CHARS
            yield {"text": text[:MAX_RENDERED_CHARS], "is_cut": is_cut}


def _failed(error: TemplateError) -> Json:
    return {"problem": f"{error.message} {error.details}".strip()[:1000]}


def _bound() -> None:
    """Let the system bound memory and processor time; also files, or on Windows children."""
    if sys.platform == "win32":
        from models.checks.windows_limits import bound_this_process

        bound_this_process(MEMORY_LIMIT_BYTES, _CPU_LIMIT_S)
        return
    limit_resources(MEMORY_LIMIT_BYTES, _CPU_LIMIT_S)
