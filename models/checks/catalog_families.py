"""The catalogue's families, as checks compare checkpoints with them. No Qt here."""

from __future__ import annotations

import json
import re
from functools import partial

from models.catalog.card import Card
from models.catalog.families import Catalog
from models.catalog.prompt_format import PromptFormat, format_of, renderings
from models.checks.family_format import FamilyFormat
from models.checks.template_protocol import TemplateCase
from models.errors import CatalogError
from models.gguf.header import GgufHeader

_TOKEN = re.compile("<[|\uff5c][^<>\\s]+[|\uff5c]>")
_NUMBER_KEYS = ("block_count", "embedding_length")
_NAME_KEYS = ("general.name", "general.basename", "general.base_model.0.name")
# Formats without turns: there is nothing to compare a template with.
_NO_TURNS = ("completion", "deepseek-ocr")


class CatalogFamilies:
    """Finds families in the catalogue (``Families``)."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def family_of(self, header: GgufHeader, file_name: str) -> FamilyFormat | None:
        """Return the family of a checkpoint by its header, else by its file's name."""
        architecture = header.text("general.architecture") or ""
        numbers = {
            key: value
            for key in _NUMBER_KEYS
            if (value := header.integer(f"{architecture}.{key}")) is not None
        }
        for name in (*(header.text(key) for key in _NAME_KEYS), file_name):
            card = name and self._catalog.of_checkpoint(name, architecture, numbers=numbers)
            if card:
                return _family(card)
        return None


def _family(card: Card) -> FamilyFormat:
    try:
        found = format_of(card.prompt_format)
    except CatalogError:
        return FamilyFormat(card.card_id, card.title, prompts=lambda _case: ())
    if found.format_id in _NO_TURNS:
        return FamilyFormat(card.card_id, card.title, prompts=lambda _case: ())
    return FamilyFormat(
        card.card_id,
        card.title,
        prompts=partial(_prompts, found.format_id),
        template=format_template(found),
        tokens=_tokens(found),
        bos_token=found.bos,
        eos_token=next(iter(_TOKEN.findall(found.assistant_after)), ""),
    )


def _prompts(format_id: str, case: TemplateCase) -> tuple[str, ...]:
    messages = [{"role": one.role, "content": one.content} for one in case.messages]
    return tuple(
        dict.fromkeys(
            text
            for thinking in (False, True)
            for text in renderings(format_id, messages, thinking=thinking)
        )
    )


def _tokens(found: PromptFormat) -> tuple[str, ...]:
    texts = (found.user_before, found.assistant_before, found.assistant_after, found.generation)
    return tuple(dict.fromkeys(token for text in texts for token in _TOKEN.findall(text)))


def format_template(found: PromptFormat) -> str:
    """Return a chat template that writes what ``models.catalog.prompt_format.render`` does.

    The switch for thinking is called as in the publishers' templates: ``thinking``, or
    ``enable_thinking``.
    """
    join = _quoted(found.system_join)
    more = f"ns.system + {join} + text" if found.system_join else "text"
    answer = "text.split('</think>')[-1]" if found.drops_reasoning else "text"
    lines = [
        "{%- set ns = namespace(system='', found=false) -%}",
        "{%- for message in messages -%}{%- if message['role'] == 'system' -%}",
        "{%- set text = message['content'] -%}",
        f"{{%- set ns.system = ({more}) if ns.found else text -%}}",
        "{%- set ns.found = true -%}{%- endif -%}{%- endfor -%}",
        _write(_quoted(found.bos)),
        "{%- if ns.found -%}" + _write(f"ns.system + {_quoted(found.system_after)}"),
        "{%- else -%}" + _write(_quoted(found.system_default)) + "{%- endif -%}",
        "{%- for message in messages -%}{%- set text = message['content'] -%}",
        "{%- if message['role'] == 'user' -%}",
        _write(f"{_quoted(found.user_before)} + text + {_quoted(found.user_after)}"),
        "{%- elif message['role'] == 'assistant' -%}",
        _write(f"{_quoted(found.assistant_before)} + {answer} + {_quoted(found.assistant_after)}"),
        "{%- endif -%}{%- endfor -%}",
        "{%- if add_generation_prompt -%}" + _generation(found) + "{%- endif -%}",
    ]
    return "\n".join(lines)


def _generation(found: PromptFormat) -> str:
    plain = _write(_quoted(found.generation))
    if not found.generation_thinking:
        return plain
    wanted = "(thinking if thinking is defined else enable_thinking | default(false))"
    thinking = _write(_quoted(found.generation_thinking))
    return f"{{%- if {wanted} -%}}{thinking}{{%- else -%}}{plain}{{%- endif -%}}"


def _write(expression: str) -> str:
    return f"{{{{- {expression} -}}}}"


def _quoted(text: str) -> str:
    """Return a text as a literal of Jinja, whose escapes are Python's."""
    return json.dumps(text)
