"""Tags that chat templates use and Jinja does not know. No Qt here."""

from __future__ import annotations

import jinja2.ext
import jinja2.nodes
import jinja2.parser


class GenerationTag(jinja2.ext.Extension):
    """``{% generation %}``, with which Transformers marks for training what the model said."""

    tags = {"generation"}  # noqa: RUF012  Jinja declares it so.

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """Return what the tag encloses: for a prompt it means nothing."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
