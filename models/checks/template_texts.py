"""Takes a chat template apart: the texts it can write, what it looks for, what it uses. No Qt.

Nothing of the template runs. It may still be made to cost time or memory (deep nesting, huge
literals), so strangers' templates are taken apart in the killable child only
(``models.checks.template_worker``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jinja2
from jinja2 import nodes

from models.chat.template_tags import GenerationTag

# What is said to the programmer, never to the model.
_SILENT_CALLS = frozenset(("raise_exception", "strftime_now"))
# Methods whose arguments are looked for, not written.
_SEEKING = frozenset(
    ("split", "rsplit", "startswith", "endswith", "strip", "lstrip", "rstrip", "find", "count")
)
# 128 bits of SHA-256: nobody finds another text for one of them.
_HASH_DIGITS = 32


@dataclass(frozen=True)
class TemplateText:
    """A text in a template.

    Attributes:
        text: what is written, with constant pieces joined.
        conditions: the variables on which it depends whether it is written, outermost first.
    """

    text: str
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class TemplateParts:
    """A template taken apart.

    Attributes:
        texts: what it can write.
        sought: texts that it compares with or looks for in a conversation.
        operations: filters, tests, functions and methods it uses.
        structure: a digest of its syntax tree; the same for another layout of the same template.
    """

    texts: tuple[TemplateText, ...]
    sought: tuple[str, ...]
    operations: tuple[str, ...]
    structure: str


def take_apart(template: str) -> TemplateParts:
    """Return the parts of a template.

    Raises:
        jinja2.exceptions.TemplateSyntaxError: it is no template.
        RecursionError, ValueError: it is nested too deeply, or holds an impossible number.
    """
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", GenerationTag],
    )
    tree = environment.parse(template)
    collector = _Collector()
    collector.statements(tree.body, ())
    return TemplateParts(
        tuple(dict.fromkeys(collector.texts)),
        tuple(dict.fromkeys(collector.sought)),
        tuple(sorted(collector.operations)),
        hashlib.sha256("".join(_canonical(tree)).encode("utf-8", "replace")).hexdigest(),
    )


def text_digest(text: str) -> str:
    """Return the digest under which a known text is kept; layout does not matter."""
    words = " ".join(text.split())
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:_HASH_DIGITS]


class _Collector:
    """Walks the tree and remembers under which conditions it is."""

    def __init__(self) -> None:
        self.texts: list[TemplateText] = []
        self.sought: list[str] = []
        self.operations: set[str] = set()

    def statements(self, body: Sequence[nodes.Node], conditions: tuple[str, ...]) -> None:
        """Walk statements."""
        for node in body:
            self._visit(node, conditions)

    def _visit(self, node: nodes.Node, conditions: tuple[str, ...]) -> None:
        if isinstance(node, nodes.Output):
            self._pieces(node.nodes, conditions)
        elif isinstance(node, (nodes.If, nodes.CondExpr)):
            self._branches(node, conditions)
        elif isinstance(node, nodes.Compare):
            self._seek([node.expr, *(operand.expr for operand in node.ops)], conditions)
        elif isinstance(node, (nodes.Call, nodes.Filter, nodes.Test)):
            self._operation(node, conditions)
        elif isinstance(node, nodes.Getitem):
            self._visit(node.node, conditions)
            if not isinstance(node.arg, nodes.Const):
                self._visit(node.arg, conditions)
        elif isinstance(node, nodes.Pair):
            self._visit(node.value, conditions)
        elif (text := _folded(node)) is not None:
            self._write(text, conditions)
        else:
            for child in node.iter_child_nodes():
                self._visit(child, conditions)

    def _pieces(self, pieces: Sequence[nodes.Node], conditions: tuple[str, ...]) -> None:
        """Join what stands side by side, so that nothing hides in halves."""
        run: list[str] = []
        for piece in pieces:
            text = _folded(piece)
            if text is not None:
                run.append(text)
                continue
            self._write("".join(run), conditions)
            run = []
            self._visit(piece, conditions)
        self._write("".join(run), conditions)

    def _branches(self, node: nodes.If | nodes.CondExpr, conditions: tuple[str, ...]) -> None:
        self._visit_test(node.test, conditions)
        names = tuple(sorted({name.name for name in _found(node.test, nodes.Name)}))
        inner = conditions + names
        if isinstance(node, nodes.If):
            self.statements(node.body, inner)
            self.statements(node.elif_, inner)
            self.statements(node.else_, inner)
            return
        self._visit(node.expr1, inner)
        if node.expr2 is not None:
            self._visit(node.expr2, inner)

    def _visit_test(self, test: nodes.Node, conditions: tuple[str, ...]) -> None:
        # A test alone writes nothing; what it compares with is sought.
        before = len(self.texts)
        self._visit(test, conditions)
        self.sought += [text.text for text in self.texts[before:]]
        del self.texts[before:]

    def _seek(self, operands: Sequence[nodes.Node], conditions: tuple[str, ...]) -> None:
        for operand in operands:
            text = _folded(operand)
            if text is None:
                self._visit(operand, conditions)
            elif text:
                self.sought.append(text)

    def _operation(
        self, node: nodes.Call | nodes.Filter | nodes.Test, conditions: tuple[str, ...]
    ) -> None:
        name = _operation_name(node)
        self.operations.add(name)
        if node.node is not None:
            self._visit(node.node, conditions)
        arguments = [*node.args, *(keyword.value for keyword in node.kwargs)]
        if name in _SILENT_CALLS or name in ("map", "selectattr", "rejectattr", "attr"):
            return
        if isinstance(node, nodes.Test) or name.lstrip(".") in _SEEKING:
            self._seek(arguments, conditions)
            return
        for argument in arguments:
            self._visit(argument, conditions)

    def _write(self, text: str, conditions: tuple[str, ...]) -> None:
        if text.strip():
            self.texts.append(TemplateText(text, conditions))


def _operation_name(node: nodes.Call | nodes.Filter | nodes.Test) -> str:
    if isinstance(node, nodes.Call):
        if isinstance(node.node, nodes.Getattr):
            return f".{node.node.attr}"
        return node.node.name if isinstance(node.node, nodes.Name) else "(computed)"
    return node.name


def _folded(node: nodes.Node) -> str | None:
    """Return the text of a constant, or of constants put together; None for anything else."""
    if isinstance(node, nodes.TemplateData):
        return node.data
    if isinstance(node, nodes.Const):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, nodes.Add):
        parts = [_folded(node.left), _folded(node.right)]
    elif isinstance(node, nodes.Concat):
        parts = [_folded(part) for part in node.nodes]
    else:
        return None
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _found(node: nodes.Node, kind: type[nodes.Name]) -> Iterator[nodes.Name]:
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)


def _canonical(value: object) -> Iterator[str]:
    """Yield the tree as text: every node with its fields, neighbouring data joined."""
    if isinstance(value, nodes.Node):
        yield f"{type(value).__name__}("
        for _, field in value.iter_fields():
            yield from _canonical(field)
        yield ")"
    elif isinstance(value, (list, tuple)):
        yield "["
        for item in value:
            yield from _canonical(item)
        yield "]"
    else:
        yield f"{value!r},"
