"""Looks at a checkpoint from anywhere before it is loaded. No Qt here.

Only headers are read, with our own bounded reader; llama.cpp does not see the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from models.catalog.families import Catalog
from models.checks.catalog_families import CatalogFamilies
from models.checks.family_format import Families, FamilyFormat
from models.checks.findings import CheckFindings, Finding, FindingKind, Weight, sorted_findings
from models.checks.header_check import Vocabulary, header_findings, read_vocabulary
from models.checks.known_templates import KnownTemplates, load_known_templates
from models.checks.template_check import TemplateFindings, check_template, template_too_long
from models.errors import BadInputError, CheckpointNotFoundError
from models.gguf.checkpoint import inspect_checkpoint
from models.gguf.header import GgufHeader, LongText, parse_header
from models.gguf.header_file import HeaderFile
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import read_shape
from models.gguf.source import ByteSource, BytesSource, FileSource
from models.planning.open_checkpoint import OpenCheckpoint
from models.stopping import Stop, check_stop, never
from models.units import format_bytes

_TEMPLATE = "tokenizer.chat_template"


def check_checkpoint(
    path: Path,
    *,
    catalog: Catalog | None,
    known: KnownTemplates | None = None,
    stop: Stop = never,
) -> CheckFindings:
    """Look at a checkpoint on this machine; what cannot be loaded is a finding, not an error.

    Args:
        path: any file of it.
        catalog: where families are found; None: it is compared with none.
        known: digests of known templates; None: those that came with Fathom.
        stop: is asked all the time.

    Raises:
        CheckpointNotFoundError: there is no such file.
        TemplateCheckError: the child that tries out templates cannot be started.
        InstallationError: the list of known templates is missing.
        StoppedError: ``stop`` said so.
    """
    check_stop(stop)
    try:
        facts = inspect_checkpoint(path)
        with ExitStack() as stack:
            sources = [stack.enter_context(FileSource(shard)) for shard in facts.shards]
            headers = [parse_header(source) for source in sources]
            shape = read_shape(headers, sources)
            vocabulary = read_vocabulary(headers[0], sources[0])
    except CheckpointNotFoundError:
        raise
    except BadInputError as error:
        return _refused(path, error)
    found = _Look(catalog, known, stop).run(headers, shape, vocabulary)
    return replace(found, path=facts.path)


def check_open(
    checkpoint: OpenCheckpoint,
    *,
    catalog: Catalog | None,
    known: KnownTemplates | None = None,
    stop: Stop = never,
) -> CheckFindings:
    """Look at a checkpoint whose header was read, also when its weights are elsewhere.

    Raises:
        As ``check_checkpoint``.
    """
    if checkpoint.path is not None:
        return check_checkpoint(checkpoint.path, catalog=catalog, known=known, stop=stop)
    sources = [_source(file) for file in checkpoint.files]
    headers = [parse_header(source) for source in sources]
    vocabulary = read_vocabulary(headers[0], sources[0])
    return _Look(catalog, known, stop).run(headers, checkpoint.shape, vocabulary)


def _source(file: HeaderFile) -> ByteSource:
    return BytesSource(file.header, name=file.name, size_bytes=file.size_bytes)


def _refused(path: Path, error: BadInputError) -> CheckFindings:
    finding = Finding(
        FindingKind.FILE,
        Weight.REFUSED,
        "Cannot be loaded",
        error.one_line(),
        details=error.details,
        needs_decision=True,
    )
    return CheckFindings(path.name, path, (finding,))


class _Look:
    """One look at headers that are sound."""

    def __init__(self, catalog: Catalog | None, known: KnownTemplates | None, stop: Stop) -> None:
        self._families: Families | None = CatalogFamilies(catalog) if catalog else None
        self._known = known or load_known_templates()
        self._stop = stop

    def run(
        self, headers: Sequence[GgufHeader], shape: ModelShape, vocabulary: Vocabulary
    ) -> CheckFindings:
        first = headers[0]
        family = self._families.family_of(first, first.name) if self._families else None
        findings = [_sound(headers), *_family(shape, family)]
        findings += header_findings(headers, shape, vocabulary, family)
        check_stop(self._stop)
        outcome = self._template(first, family, vocabulary, shape)
        return CheckFindings(
            name=shape.name,
            path=None,
            findings=sorted_findings([*findings, *outcome.findings]),
            template_diff=outcome.diff,
            family=family.title if family else "",
            card_id=family.card_id if family else "",
            template_sha256=outcome.sha256,
            known_template=family.template if family and outcome.should_offer else "",
        )

    def _template(
        self,
        header: GgufHeader,
        family: FamilyFormat | None,
        vocabulary: Vocabulary,
        shape: ModelShape,
    ) -> TemplateFindings:
        template = header.metadata.get(_TEMPLATE)
        if isinstance(template, LongText):
            return template_too_long(template.size_bytes)
        return check_template(
            template if isinstance(template, str) else None,
            family,
            self._known,
            bos_token=vocabulary.text(header.integer("tokenizer.ggml.bos_token_id")),
            eos_token=vocabulary.text(header.integer("tokenizer.ggml.eos_token_id")),
            stop=self._stop,
            is_strict=family is not None or _claims_deepseek(shape),
        )


def _sound(headers: Sequence[GgufHeader]) -> Finding:
    n_files = len(headers)
    size = format_bytes(sum(header.file_bytes for header in headers))
    tensors = sum(len(header.tensors) for header in headers)
    files = "The file is" if n_files == 1 else f"All {n_files} files are"
    return Finding(
        FindingKind.FILE,
        Weight.GOOD,
        "Whole and sound",
        f"{files} as long as the header says ({size}); its {tensors:,} tensors and its numbers "
        "agree with each other.",
    )


def _family(shape: ModelShape, family: FamilyFormat | None) -> list[Finding]:
    if family is not None:
        return [
            Finding(
                FindingKind.FAMILY,
                Weight.GOOD,
                "Known family",
                f"By its name, architecture and size it is a {family.title}.",
            )
        ]
    if not _claims_deepseek(shape):
        return []
    return [
        Finding(
            FindingKind.FAMILY,
            Weight.NOTE,
            "Of no known family",
            f'It calls itself "{shape.name[:80]}" ({shape.architecture[:40]}), but its size or '
            "architecture is of no DeepSeek family that Fathom knows.",
        )
    ]


def _claims_deepseek(shape: ModelShape) -> bool:
    return "deepseek" in shape.name.lower() or shape.architecture.startswith("deepseek")
