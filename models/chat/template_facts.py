"""What a chat template can do, read from its text without running any of it. No Qt here.

A template is code from a stranger: rendering it belongs into the engine child, under a deadline
(``models.runtime.llama.template``). Here it is only taken apart into its syntax tree, which is
enough to see whether it opens ``<think>`` for the model, has a switch for thinking, knows tools.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jinja2
import jinja2.exceptions
from jinja2 import nodes

from models.chat.reasoning import CLOSE_TAG, OPEN_TAG
from models.chat.template_tags import GenerationTag

# The names under which templates of DeepSeek, Qwen, GLM, Granite and others take the switch.
SWITCHES = ("enable_thinking", "thinking", "thinking_mode", "reasoning_effort")

_MAX_CHARS = 256 * 1024
_GENERATION = "add_generation_prompt"
_TOOLS = ("tools", ".tool_calls")
# What only a run would show.
_UNKNOWN = "\N{HORIZONTAL ELLIPSIS}"


class Opening(enum.StrEnum):
    """Whether a prompt ends with an opened ``<think>``, so that the answer begins in reasoning."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"
    NEVER = "never"


@dataclass(frozen=True)
class TemplateFacts:
    """What a template can do.

    Attributes:
        opens_reasoning: whether its prompts end with ``<think>``.
        knows_reasoning: whether it mentions ``<think>`` or ``</think>`` at all.
        thinking_switch: the variable that switches thinking on or off, None when there is none.
        takes_tools: whether it writes the tools that may be called.
        problem: why it could not be taken apart, in words; the rest is then what its text shows.
    """

    opens_reasoning: Opening = Opening.NEVER
    knows_reasoning: bool = False
    thinking_switch: str | None = None
    takes_tools: bool = False
    problem: str = ""


def template_facts(template: str) -> TemplateFacts:
    """Take a template apart; one that cannot be is told by ``problem``, never by an exception."""
    knows_reasoning = OPEN_TAG in template or CLOSE_TAG in template
    if len(template) > _MAX_CHARS:
        return TemplateFacts(knows_reasoning=knows_reasoning, problem="it is too long")
    try:
        tree = _environment().parse(template)
        names = _names(tree)
        return TemplateFacts(
            opens_reasoning=_PromptEnd(tree).opening(),
            knows_reasoning=knows_reasoning,
            thinking_switch=next((name for name in SWITCHES if name in names), None),
            takes_tools=any(name in names for name in _TOOLS),
        )
    except jinja2.exceptions.TemplateError as error:
        problem = f"it is not a valid template ({error.message})"
    except (RecursionError, ValueError):
        # Nested too deeply, or a number of thousands of digits.
        problem = "it is too complicated"
    return TemplateFacts(knows_reasoning=knows_reasoning, problem=problem)


def _environment() -> jinja2.Environment:
    # Only the parser is used: nothing is compiled, nothing runs.
    return jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", GenerationTag],
    )


def _names(tree: nodes.Template) -> set[str]:
    """Return every variable and every field that the template reads."""
    names = {node.name for node in tree.find_all(nodes.Name)}
    for field in tree.find_all(nodes.Getitem):
        if isinstance(field.arg, nodes.Const) and isinstance(field.arg.value, str):
            names.add(f".{field.arg.value}")
    return names | {f".{node.attr}" for node in tree.find_all(nodes.Getattr)}


class _PromptEnd:
    """Looks at all ends that the text written for ``add_generation_prompt`` can have."""

    def __init__(self, tree: nodes.Template) -> None:
        self._tree = tree
        self._texts: dict[str, str] = {}
        for node in tree.find_all(nodes.Assign):
            if isinstance(node.target, nodes.Name) and isinstance(node.node, nodes.Const):
                self._texts[node.target.name] = str(node.node.value)

    def opening(self) -> Opening:
        """Return whether the ends open ``<think>``."""
        ends = [end.rstrip() for end in self._all() if end.strip()]
        opened = [end.endswith(OPEN_TAG) for end in ends]
        if not any(opened):
            return Opening.NEVER
        return Opening.ALWAYS if all(opened) else Opening.SOMETIMES

    def _all(self) -> Iterator[str]:
        for statement in self._tree.find_all(nodes.If):
            if _asks_for_generation(statement.test):
                yield from self._last(statement.body)
        for expression in self._tree.find_all(nodes.CondExpr):
            if _asks_for_generation(expression.test):
                yield from self._last([expression.expr1])

    def _last(self, written: Sequence[nodes.Node]) -> Iterator[str]:
        """Yield the last texts that some statements or expressions can write."""
        for node in reversed(written):
            found = list(self._of(node))
            yield from (end for end in found if end.strip())
            # Where a way through wrote nothing, what came before it is last.
            if found and all(end.strip() for end in found):
                return

    def _of(self, node: nodes.Node) -> Iterator[str]:
        """Yield the last texts of one node; an empty one for each way that writes none."""
        if isinstance(node, nodes.TemplateData):
            yield node.data
        elif isinstance(node, nodes.Const):
            yield str(node.value)
        elif isinstance(node, nodes.Name):
            yield self._texts.get(node.name, _UNKNOWN)
        elif isinstance(node, (nodes.Output, nodes.Concat)):
            yield from self._some(node.nodes)
        elif isinstance(node, nodes.Add):
            yield from self._some([node.left, node.right])
        elif isinstance(node, nodes.If):
            for branch in (node.body, *(other.body for other in node.elif_), node.else_):
                yield from self._some(branch)
        elif isinstance(node, nodes.CondExpr):
            yield from self._some([node.expr1])
            yield from self._some([node.expr2] if node.expr2 is not None else [])
        else:
            yield _UNKNOWN if isinstance(node, nodes.Expr) else ""

    def _some(self, written: Sequence[nodes.Node]) -> list[str]:
        """Return the ends of a branch, one empty when it writes nothing."""
        return list(self._last(written)) or [""]


def _asks_for_generation(test: nodes.Node) -> bool:
    names = [test] if isinstance(test, nodes.Name) else test.find_all(nodes.Name)
    return any(name.name == _GENERATION for name in names)
