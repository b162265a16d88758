"""Writes resources/templates/known.json: digests of chat templates that are known to be good.

    python -m helpers.make_known_templates FOLDER [FOLDER ...]

Every ``*.jinja`` below the folders is taken, its file name is its title. Facts only: no text of a
template gets into the file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jinja2.exceptions

from models.checks.known_templates import known_templates_data
from models.checks.template_texts import TemplateParts, take_apart

_TARGET = Path(__file__).resolve().parents[2] / "resources" / "templates" / "known.json"


def main(folders: Sequence[str]) -> int:
    """Write the file; say what was left out."""
    found: dict[str, tuple[str, TemplateParts]] = {}
    for path in sorted(path for folder in folders for path in Path(folder).glob("*.jinja")):
        text = path.read_text(encoding="utf-8")
        try:
            found[path.stem.removeprefix("deepseek-ai-")] = (text, take_apart(text))
        except jinja2.exceptions.TemplateError as error:
            sys.stderr.write(f"left out: {path.name}: {error}\n")
    data = known_templates_data(found)
    _TARGET.parent.mkdir(exist_ok=True)
    _TARGET.write_text(json.dumps(data, indent=0, ensure_ascii=True) + "\n", encoding="utf-8")
    sys.stderr.write(f"{len(found)} templates, {len(data['texts'])} texts\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
