"""What the server's page says, and the examples that it gives."""

from __future__ import annotations

import json
import shlex

from PySide6.QtCore import QCoreApplication

from app.actions.server import Refused

KEY_PLACEHOLDER = "YOUR_KEY"
# The name that DeepSeek's own API has; whatever is loaded answers to it.
ANY_MODEL = "deepseek-chat"
CURL, PYTHON = "curl", "python"


def example(kind: str, url: str, key: str, model: str) -> str:
    """Return a program that asks one question.

    Args:
        kind: ``CURL`` or ``PYTHON``.
        url: what programs are told as the base of all addresses.
        key: the key, or what stands for it.
        model: who is asked; a file of a stranger's may be called anything.
    """
    if kind == PYTHON:
        return (
            "from openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{url}", api_key="{key}")\n'
            "answer = client.chat.completions.create(\n"
            f"    model={json.dumps(model)},\n"
            '    messages=[{"role": "user", "content": "Why is the sea salty?"}],\n'
            ")\n"
            "print(answer.choices[0].message.content)"
        )
    question = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Why is the sea salty?"}]}
    )
    # Over standard input: every user of the machine may look at a program's arguments.
    return (
        f"curl {url}/chat/completions \\\n"
        '  -H @- -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(question)} <<END\n"
        f"Authorization: Bearer {key}\n"
        "END"
    )


def refused_words(one: Refused) -> str:
    """Return in a sentence who was turned away, and why."""
    words = {
        "origin": _tr("A web page wanted to use the server and was refused: {0}"),
        "host": _tr("Somebody asked for {0}, which is not this machine, and was refused."),
        "key": _tr("A program without the right key was refused."),
        "content_type": _tr("A request was refused that was not marked as JSON."),
        "too_large": _tr("A request was refused because it was too large."),
        "too_slow": _tr("A connection was closed that sent nothing for too long."),
        "too_many": _tr("A connection was refused because too many were open."),
    }
    shown = one.page or one.shown or _tr("(it did not say which)")
    if one.reason == "origin" and shown == "null":
        shown = _tr("(a file, or a page that hides its address)")
    return words.get(one.reason, _tr("A request was refused.")).format(shown)


def refused_advice(one: Refused) -> str:
    """Return what can be done about it; empty where there is nothing to do."""
    if one.reason == "key":
        return _tr("If it is one of yours, give it the key below.")
    if one.reason == "origin" and not one.page:
        return _tr("Without an address it cannot be allowed.")
    if one.reason == "host":
        return _tr(
            "Hostile web pages do that. If it was a program of yours, give it the address above."
        )
    if one.reason == "content_type":
        return _tr("Programs that can use this server mark what they send by themselves.")
    return ""


def _tr(text: str) -> str:
    return QCoreApplication.translate("ServerWords", text)
