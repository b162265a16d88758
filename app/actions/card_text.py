"""A model card made harmless and readable: Markdown without HTML, pictures and their badges.

No Qt here. Cards are full of HTML that the hub's website shows; here a few tags are turned into
Markdown and the others left out. What a card says inside code stays as it is. A card is a
stranger's text: everything here takes time in proportion to its length.
"""

from __future__ import annotations

import html
import re

LIMIT_CHARS = 100_000

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"(/?)([a-zA-Z][a-zA-Z0-9]*)(\s.*|/)?", re.DOTALL)
_HREF = re.compile(r"href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
# ![alt](address "title") and ![alt][name].
_PICTURE = re.compile(
    r"!\[[^\]\n]{0,300}\]"
    r"(?:\([^()\n]{0,1000}(?:\([^()\n]{0,200}\)[^()\n]{0,200}){0,4}\)|\[[^\]\n]{0,100}\])"
)
_EMPTY_LINK = re.compile(r"\[\s{0,20}\]\([^()\s]{0,1000}\)")
# [name]: address, and where it is used: [words][name] or [name][].
_DEFINITION = re.compile(
    r"^ {0,3}\[([^\]\n]{1,100})\]:[ \t]{1,20}<?([^\s>]{1,1000})>?[^\n]*$", re.M
)
_REFERENCE = re.compile(r"\[([^\[\]\n]{1,300})\]\[([^\[\]\n]{0,100})\]")
# Formulas in a line, as the hub's website has them written.
_HUB_FORMULA = re.compile(r"\\\\\(((?:(?!\\\\[()])[^\n])+)\\\\\)")
_BLANK_LINES = re.compile(r"\n{3,}")
_RULE = re.compile(r"([-*_])(?: ?\1){2,}")
_TICKS = re.compile(r"(`+)")
_HIDDEN = ("script", "style", "svg", "iframe", "video", "audio", "object", "template")
_LINE_BREAKERS = frozenset(
    (
        "br", "p", "div", "tr", "ul", "ol", "table", "thead", "tbody", "center", "details", "hr",
        "section", "header", "footer",
    )
)  # fmt: skip
_SILENT = frozenset(
    (
        "img", "span", "font", "u", "s", "sub", "sup", "small", "big", "kbd", "picture", "source",
        "figure", "figcaption", "a", "li", "td", "th", "summary", "button", "input", "label",
        "blockquote", "pre",
    )
)  # fmt: skip
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "h5": "#### ", "h6": "#### "}
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`"}


def readable_card(text: str) -> str:
    """Return a model card as Markdown without HTML and pictures, at most ``LIMIT_CHARS`` long."""
    text = text[:LIMIT_CHARS].replace("\r\n", "\n")
    text = _FRONT_MATTER.sub("", text, count=1)
    parts = (part if is_code else _prose(part) for part, is_code in _split_code(text))
    return _BLANK_LINES.sub("\n\n", _without_references("".join(parts))).strip()


def is_safe_link(address: str) -> bool:
    """Whether a card's link may be opened by a click: an address of the web and nothing else."""
    return re.match(r"https?://[^\s/]", address, re.IGNORECASE) is not None


def _without_references(text: str) -> str:
    """Put addresses where they are used: a text whose parts need each other comes in one piece."""
    known = {name.lower(): address for name, address in _DEFINITION.findall(text)}
    if not known:
        return text

    def put(found: re.Match[str]) -> str:
        address = known.get((found[2] or found[1]).lower(), "")
        return f"[{found[1]}]({address})" if is_safe_link(address) else found[1]

    return _DEFINITION.sub("", _REFERENCE.sub(put, text))


def _split_code(text: str) -> list[tuple[str, bool]]:
    """Cut a text into prose and fenced code."""
    parts: list[tuple[str, bool]] = []
    lines: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if not fence and found:
            parts.append(("".join(lines), False))
            lines, fence = [line], found[1]
        elif fence and found and found[1].startswith(fence) and not line.strip(" `~\n"):
            parts.append(("".join([*lines, line]), True))
            lines, fence = [], ""
        else:
            lines.append(line)
    parts.append(("".join(lines), bool(fence)))
    return parts


def _prose(text: str) -> str:
    text = _COMMENT.sub("", text)
    pieces = (part if is_code else _readable(part) for part, is_code in _inline_code(text))
    joined = _EMPTY_LINK.sub("", _PICTURE.sub("", "".join(pieces)))
    return "\n".join(line if _says_something(line) else "" for line in joined.split("\n"))


def _readable(text: str) -> str:
    return _HUB_FORMULA.sub(r"\\(\1\\)", _without_html(text))


def _inline_code(text: str) -> list[tuple[str, bool]]:
    """Cut prose at code between backticks; each run of them ends at the next one as long."""
    tokens = _TICKS.split(text)
    ends: dict[str, list[int]] = {}
    for index in range(len(tokens) - 2, 0, -2):
        ends.setdefault(tokens[index], []).append(index)
    parts = [(tokens[0], False)]
    index = 1
    while index < len(tokens):
        later = ends[tokens[index]]
        while later and later[-1] <= index:
            later.pop()
        if later:
            end = later[-1]
            parts.append(("".join(tokens[index : end + 1]), True))
            index = end
        else:
            parts.append((tokens[index], True))
        parts.append((tokens[index + 1], False))
        index += 2
    return parts


def _says_something(line: str) -> bool:
    """Whether a line is more than marks left over from what was taken out."""
    bare = line.strip()
    is_whole = bool(bare.strip("|:*_- ")) or "|" in bare
    return is_whole or _RULE.fullmatch(bare) is not None


def _without_html(text: str) -> str:
    pieces: list[str] = []
    links: list[str] = []
    at = 0
    while (end := text.find(">", at)) >= 0:
        start = text.rfind("<", at, end)
        tag = _TAG.fullmatch(text, start + 1, end) if start >= 0 else None
        if tag is None or not _is_known(tag[2].lower()):
            pieces.append(text[at : end + 1])
            at = end + 1
            continue
        pieces += [text[at:start], _markdown_of(tag, links)]
        at = end + 1
        if tag[2].lower() in _HIDDEN and not tag[1]:
            at = _end_of_hidden(text, tag[2], at)
    pieces.append(text[at:])
    plain = "".join(pieces)
    if plain != text:
        # Indented inside a <div>, lines would become code.
        plain = "\n".join(_outdented(line) for line in plain.split("\n"))
    return html.unescape(plain)


def _is_known(name: str) -> bool:
    # Anything else is text: cards of models that think speak of <think>.
    known = name in _LINE_BREAKERS or name in _SILENT or name in _HIDDEN
    return known or name in _HEADINGS or name in _MARKS


def _end_of_hidden(text: str, name: str, at: int) -> int:
    closing = re.compile(rf"</{name}\s{{0,20}}>", re.IGNORECASE).search(text, at)
    return closing.end() if closing else len(text)


def _outdented(line: str) -> str:
    bare = line.lstrip()
    return line if bare.startswith(("-", "*", "+")) else bare if line.startswith("  ") else line


def _markdown_of(tag: re.Match[str], links: list[str]) -> str:
    closes, name = bool(tag[1]), tag[2].lower()
    if name == "a":
        return _link_end(links) if closes else _link_start(tag[3] or "", links)
    if name in _HEADINGS:
        return "\n\n" if closes else "\n\n" + _HEADINGS[name]
    if name in _MARKS:
        return _MARKS[name]
    if name == "li":
        return "" if closes else "\n- "
    if name in ("td", "th"):
        return " " if closes else ""
    if name == "summary":
        return "\n\n"
    return "\n" if name in _LINE_BREAKERS else ""


def _link_start(attributes: str, links: list[str]) -> str:
    found = _HREF.search(attributes)
    address = next((group for group in found.groups() if group), "") if found else ""
    links.append(address if is_safe_link(address) else "")
    return "[" if links[-1] else ""


def _link_end(links: list[str]) -> str:
    address = links.pop() if links else ""
    return f"]({address.replace(' ', '%20').replace(')', '%29')})" if address else ""
