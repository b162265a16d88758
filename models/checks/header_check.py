"""What is unusual about a checkpoint's header. No Qt here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.checks.family_format import FamilyFormat
from models.checks.findings import Finding, FindingKind, Weight
from models.errors import FathomError
from models.gguf.header import ArrayInfo, GgufHeader, read_array
from models.gguf.shape import ModelShape
from models.gguf.source import ByteSource
from models.hub.quants import quant_name
from models.planner.pre_mla import pre_mla_warning
from models.units import format_bytes

_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_PRE = "tokenizer.ggml.pre"
_MODEL = "tokenizer.ggml.model"
_TEMPLATE = "tokenizer.chat_template"
# enum llama_token_type: what the text of a prompt may name as one token.
_CONTROL, _USER_DEFINED = 3, 4
_MAX_TOKENS = 400_000
# llama.cpp falls back to this splitter, which suits hardly any model.
_GUESSED_PRE = ("", "default")
_COMPARED_CTX = 32_768
_COARSE_BITS = 2.6
_WHOLE_WEIGHTS = ("F16", "BF16", "F32")
_QUANT_MIX = re.compile(r"_(?:XXS|XS|XL|S|M|L|NL)$")
# Behind the last tensor a file may be filled up to a sector, not more.
_PADDING_BYTES = 4096


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and their types, as far as they could be read."""

    tokens: tuple[str, ...] = ()
    types: tuple[int, ...] = ()

    def text(self, token_id: int | None) -> str:
        """Return a token's text, empty when there is none of this number."""
        if token_id is None or not 0 <= token_id < len(self.tokens):
            return ""
        return self.tokens[token_id]


def read_vocabulary(header: GgufHeader, source: ByteSource) -> Vocabulary:
    """Read the vocabulary; an empty one where it is not there or too long to be true."""
    try:
        tokens = _array(header, source, _TOKENS)
        types = _array(header, source, _TYPES)
    except FathomError:
        return Vocabulary()
    return Vocabulary(
        tuple(token for token in tokens if isinstance(token, str)),
        tuple(kind for kind in types if isinstance(kind, int)),
    )


def _array(header: GgufHeader, source: ByteSource, key: str) -> tuple[object, ...]:
    info = header.metadata.get(key)
    if not isinstance(info, ArrayInfo):
        return ()
    return read_array(source, info, limit=_MAX_TOKENS) or ()


def header_findings(
    headers: Sequence[GgufHeader],
    shape: ModelShape,
    vocabulary: Vocabulary,
    family: FamilyFormat | None,
) -> list[Finding]:
    """Return what is unusual; ``headers`` are those of all files."""
    first = headers[0]
    return [
        *_format(headers, shape, vocabulary),
        *_tokenizer(first),
        *_ends(first, vocabulary),
        *_marks(vocabulary, family),
        *_quantization(first, shape),
    ]


def _format(
    headers: Sequence[GgufHeader], shape: ModelShape, vocabulary: Vocabulary
) -> Iterator[Finding]:
    price = pre_mla_warning(shape, min(_COMPARED_CTX, shape.n_ctx_train or _COMPARED_CTX))
    if price:
        yield Finding(FindingKind.OLD_FORMAT, Weight.WARNING, "From before MLA", price)
    if shape.is_approximate:
        yield Finding(
            FindingKind.FILE,
            Weight.NOTE,
            "Not a DeepSeek architecture",
            f'Fathom has no rules of its own for the architecture "{shape.architecture[:80]}": '
            "what is said of its cache and its active parameters is approximate.",
        )
    behind = sum(_bytes_behind(header) for header in headers)
    if behind > _PADDING_BYTES * len(headers):
        yield Finding(
            FindingKind.FILE,
            Weight.NOTE,
            "More in the file than the model",
            f"{format_bytes(behind)} follow the last tensor. They are no part of the model and "
            "are not read.",
        )
    others = [key for key in headers[0].metadata if key.startswith(f"{_TEMPLATE}.")]
    if others:
        yield Finding(
            FindingKind.TEMPLATE,
            Weight.NOTE,
            "Several chat templates",
            "It has more than one chat template; only the main one is used.",
            details="\n".join(others[:40]),
        )
    n_vocab = len(vocabulary.tokens)
    if n_vocab and shape.n_vocab and n_vocab != shape.n_vocab:
        yield Finding(
            FindingKind.TOKENS,
            Weight.NOTE,
            "Vocabulary of another size",
            f"It lists {n_vocab:,} tokens, and its weights are made for {shape.n_vocab:,}.",
        )


def _bytes_behind(header: GgufHeader) -> int:
    if not header.tensors:
        return 0
    last = header.tensors[-1]
    return header.file_bytes - (header.data_offset + last.offset + last.size_bytes)


def _tokenizer(header: GgufHeader) -> Iterator[Finding]:
    if header.text(_MODEL) == "gpt2" and (header.text(_PRE) or "") in _GUESSED_PRE:
        yield Finding(
            FindingKind.TOKENS,
            Weight.WARNING,
            "Splits words by guessing",
            "Its header does not say how text is cut into tokens, as files from before May 2024 "
            "do not. Answers get worse by it. Look for a newer file of the model.",
        )


def _ends(header: GgufHeader, vocabulary: Vocabulary) -> Iterator[Finding]:
    end = header.integer("tokenizer.ggml.eos_token_id")
    n_tokens = len(vocabulary.tokens)
    if not n_tokens:
        return
    if end is None or not 0 <= end < n_tokens:
        yield Finding(
            FindingKind.TOKENS,
            Weight.WARNING,
            "No token for the end",
            "Its header names no token that ends an answer. Answers may go on until the context "
            "is full.",
        )
    elif end < len(vocabulary.types) and vocabulary.types[end] not in (_CONTROL, _USER_DEFINED):
        yield Finding(
            FindingKind.TOKENS,
            Weight.NOTE,
            "The end is an ordinary token",
            f"The token that ends an answer, {vocabulary.text(end)[:40]!r}, is not marked as a "
            "control token.",
        )


def _marks(vocabulary: Vocabulary, family: FamilyFormat | None) -> Iterator[Finding]:
    """Look for the tokens that the family's conversations are made of."""
    if family is None or not vocabulary.tokens:
        return
    wanted = [token for token in (family.bos_token, *family.tokens) if token]
    places = {token: number for number, token in enumerate(vocabulary.tokens) if token in wanted}
    missing = [token for token in dict.fromkeys(wanted) if token not in places]
    plain = [
        token
        for token, number in places.items()
        if number < len(vocabulary.types)
        and vocabulary.types[number] not in (_CONTROL, _USER_DEFINED)
    ]
    if missing or plain:
        yield Finding(
            FindingKind.TOKENS,
            Weight.WARNING,
            "Tokens of its family are missing",
            f"Conversations of {family.title} are marked with tokens that this vocabulary does "
            "not have or treats as ordinary text. The model will not see where a turn begins.",
            details="\n".join(
                [*(f"missing: {token}" for token in missing), *(f"plain: {one}" for one in plain)]
            ),
        )


def _quantization(header: GgufHeader, shape: ModelShape) -> Iterator[Finding]:
    sizes: Counter[str] = Counter()
    for tensor in shape.tensors:
        sizes[tensor.type_name] += tensor.size_bytes
    if not sizes:
        return
    main, main_bytes = sizes.most_common(1)[0]
    total = sum(sizes.values())
    said = shape.quantization
    by_name = quant_name(header.name)
    if by_name and said and _kind(by_name) != _kind(said) and _kind(by_name) != _kind(main):
        yield Finding(
            FindingKind.QUANTIZATION,
            Weight.NOTE,
            "Named otherwise than it is",
            f"Its name says {by_name}, its header {said}; most of its weights are {main}.",
        )
    elif said and _kind(said) != _kind(main) and not _kind(said).startswith(_kind(main)):
        share = 100 * main_bytes // total
        yield Finding(
            FindingKind.QUANTIZATION,
            Weight.NOTE,
            "An unusual mixture",
            f"Its header says {said}, but {share} % of its weights are {main}.",
        )
    bits = 8 * total / max(1, sum(tensor.elements for tensor in shape.tensors))
    if bits < _COARSE_BITS:
        yield Finding(
            FindingKind.QUANTIZATION,
            Weight.NOTE,
            "Very coarse weights",
            f"Its weights have {bits:.1f} bits each on average. Expect more mistakes than of the "
            "same model with 4 bits.",
        )


def _kind(quant: str) -> str:
    """Return the type that a mixture is named after: Q4_K of Q4_K_M."""
    return _QUANT_MIX.sub("", quant.upper().removeprefix("UD-"))
