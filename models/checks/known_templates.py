"""Digests of chat templates that are known to be good. No Qt here.

Only digests are kept, no text: of whole templates, of their syntax trees (so that another layout
is recognised), of the texts in them and of what they look for. ``resources/templates/known.json``
is written by ``python -m helpers.make_known_templates`` from templates that their publishers or
llama.cpp ship.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checks.template_texts import TemplateParts, text_digest
from models.errors import InstallationError

_FILE = Path(__file__).resolve().parents[2] / "resources" / "templates" / "known.json"


@dataclass(frozen=True)
class KnownTemplate:
    """A template that is known.

    Attributes:
        title: whose it is, such as "DeepSeek-V3.1".
        sha256: of its text.
        structure: of its syntax tree.
    """

    title: str
    sha256: str
    structure: str


class KnownTemplates:
    """What is known of good templates."""

    def __init__(
        self,
        templates: Sequence[KnownTemplate],
        texts: Sequence[str],
        sought: Sequence[str],
        operations: Sequence[str],
    ) -> None:
        self._by_sha256 = {one.sha256: one for one in templates}
        self._by_structure = {one.structure: one for one in templates}
        self._texts = frozenset(texts)
        self._sought = frozenset(sought)
        self._operations = frozenset(operations)

    def exactly(self, template: str) -> KnownTemplate | None:
        """Return the known template with this text."""
        return self._by_sha256.get(template_sha256(template))

    def same_structure(self, structure: str) -> KnownTemplate | None:
        """Return the known template that does the same, written in another layout."""
        return self._by_structure.get(structure)

    def knows_text(self, text: str) -> bool:
        """Whether a known template writes this text."""
        return text_digest(text) in self._texts

    def knows_sought(self, text: str) -> bool:
        """Whether a known template looks for this text."""
        return text_digest(text) in self._sought

    def knows_operation(self, name: str) -> bool:
        """Whether a known template uses this filter, test, function or method."""
        return name in self._operations


def template_sha256(template: str) -> str:
    """Return the digest of a template's text; line ends at its end do not count."""
    return hashlib.sha256(template.strip().encode("utf-8", "replace")).hexdigest()


def load_known_templates(path: Path = _FILE) -> KnownTemplates:
    """Read what is known.

    Raises:
        InstallationError: the file is missing or damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return KnownTemplates(
            [KnownTemplate(**one) for one in data["templates"]],
            data["texts"],
            data["sought"],
            data["operations"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InstallationError(
            "The list of known chat templates cannot be read.",
            hint="Install Fathom again.",
            details=f"{path}: {error}",
        ) from error


def known_templates_data(templates: Mapping[str, tuple[str, TemplateParts]]) -> dict[str, Any]:
    """Return what the file holds.

    Args:
        templates: text and parts of each, by title.
    """
    all_parts = [parts for _, parts in templates.values()]
    return {
        "templates": [
            {"title": title, "sha256": template_sha256(text), "structure": parts.structure}
            for title, (text, parts) in sorted(templates.items())
        ],
        "texts": sorted({text_digest(one.text) for parts in all_parts for one in parts.texts}),
        "sought": sorted({text_digest(one) for parts in all_parts for one in parts.sought}),
        "operations": sorted({name for parts in all_parts for name in parts.operations}),
    }
