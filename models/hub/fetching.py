"""From what was chosen on a repository's page to what is to be fetched. No Qt here."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from models.errors import (
    AccessError,
    BadInputError,
    CorruptDownloadError,
    MissingShardError,
    NetworkError,
    RemoteNotFoundError,
    UnsafeNameError,
)
from models.hub.file_names import check_collisions, is_fetchable, is_text, safe_folder, safe_target
from models.hub.hub import Hub, is_official
from models.hub.names import RepositoryPlace
from models.hub.pages import RepositoryPage
from models.hub.quants import (
    QuantFiles,
    RemoteFile,
    cut_checkpoints,
    files_of_quant,
    group_quants,
    quant_of_file,
)
from models.network.patience import Patience
from models.stopping import Stop, never
from models.transfer.job import JobSpec
from models.transfer.remote import FileSpec

# A licence or a model card; what is larger under such a name is something else.
MAX_TEXT_BYTES = 1024 * 1024

_HINTED_NAMES = 4
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}")
_GGUF_MARK = re.compile(r"[-_.]gguf$", re.IGNORECASE)
# Asking for the digests must not keep anybody waiting where Hugging Face cannot be reached.
_SECOND_OPINION = Patience(connect_s=4.0, silence_s=4.0, attempts=1, grace_s=8.0)


def page_quants(page: RepositoryPage) -> tuple[QuantFiles, ...]:
    """Return the checkpoints of a repository, the smallest first."""
    place = RepositoryPlace(page.repository, revision=page.revision)
    return group_quants(page.files, text_of=place.text_of("{path}"))


def find_quant(page: RepositoryPage, name: str) -> QuantFiles:
    """Return the checkpoint that a quantization, a file's name or its path means.

    Raises:
        RemoteNotFoundError: there is none; the hint has those that are called nearly so.
        BadInputError: several are meant, or it lies there cut into pieces.
    """
    quants = page_quants(page)
    wanted = name.strip().lower()
    # Any shard means its whole set.
    of_file = quant_of_file(name.strip(), quants, page.files)
    for matches in ((of_file,) if of_file else (), _by_name(quants, wanted)):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise BadInputError(
                f'{page.repository} has {len(matches)} checkpoints called "{name[:200]}".',
                hint=f"Name one of them by its file: {_listed([q.path for q in matches])}.",
            )
    _check_cut(page, wanted)
    raise _no_such_quant(page, quants, name)


def job_spec(
    page: RepositoryPage,
    quant: QuantFiles,
    *,
    root: Path,
    endpoint_official: RepositoryPage | None = None,
) -> JobSpec:
    """Return the download of one checkpoint with the texts that belong to it.

    Args:
        page: the repository; its commit is what is fetched, whatever happens there later.
        quant: one of ``page_quants(page)``.
        root: the library's folder.
        endpoint_official: the same commit by Hugging Face's own word, where ``page`` is a mirror's
            (``second_opinion``): its digests must be the same ones.

    Raises:
        MissingShardError: not all its files are there.
        UnsafeNameError: a name that no file on this machine should get.
        BadInputError: a file has no digest, or it is nothing that is fetched.
        CorruptDownloadError: the mirror's digests are not Hugging Face's.
    """
    files = files_of_quant(quant, page.files)
    _check_whole(page, quant, files)
    texts = _texts(page.files)
    wanted = (*files, *texts)
    specs = tuple(_file_spec(page, file) for file in wanted)
    check_collisions(spec.target for spec in specs)
    is_independent = is_official(page.endpoint)
    if not is_independent and endpoint_official is not None:
        _check_same(page, files, endpoint_official)
        is_independent = endpoint_official.endpoint != page.endpoint
    return JobSpec(
        job_id=uuid.uuid4().hex,
        title=job_title(page.repository, quant),
        endpoint=page.endpoint,
        repository=page.repository,
        commit=page.commit,
        quant=quant.quant,
        root=root,
        folder=root / safe_folder(page.repository),
        files=specs,
        is_independent=is_independent,
    )


def complete_spec(begun: JobSpec, hub: Hub, *, stop: Stop = never) -> JobSpec:
    """Return the download of the whole checkpoint that a begun file belongs to, in its place.

    Raises:
        as ``Hub.page``, ``find_quant`` and ``job_spec``.
    """
    page = hub.page(RepositoryPlace(begun.repository, revision=begun.commit), stop=stop)
    quant = find_quant(page, begun.files[0].path)
    official = second_opinion(page, stop=stop)
    spec = job_spec(page, quant, root=begun.root, endpoint_official=official)
    return replace(spec, folder=begun.folder)


def second_opinion(
    page: RepositoryPage, *, stop: Stop = never, official: Hub | None = None
) -> RepositoryPage | None:
    """Return the same commit by Hugging Face's own word, None when it cannot be had.

    Nothing is asked when ``page`` is its word already. It is asked as nobody.

    Raises:
        StoppedError: ``stop`` said so.
    """
    if is_official(page.endpoint) or page.is_from_store:
        return None
    hub = official or Hub(patience=_SECOND_OPINION)
    try:
        return hub.page(RepositoryPlace(page.repository, revision=page.commit), stop=stop)
    except (NetworkError, AccessError, RemoteNotFoundError):
        return None


def job_title(repository: str, quant: QuantFiles) -> str:
    """Return what people call a download: the model and its quantization."""
    model = _GGUF_MARK.sub("", repository.partition("/")[2])
    return f"{model} {quant.quant}" if quant.quant else quant.name


def _by_name(quants: Sequence[QuantFiles], wanted: str) -> tuple[QuantFiles, ...]:
    stem = wanted.removesuffix(".gguf")
    by_quant = tuple(quant for quant in quants if quant.quant.lower() == wanted and wanted)
    return by_quant or tuple(quant for quant in quants if quant.name.lower() == stem)


def _check_cut(page: RepositoryPage, wanted: str) -> None:
    for cut in cut_checkpoints(page.files):
        if wanted in {cut.quant.lower(), cut.name.lower(), *(p.lower() for p in cut.paths)}:
            raise BadInputError(
                f"{cut.name} lies there cut into {len(cut.paths)} pieces, which are no shards.",
                hint="They must be fetched and joined by hand (cat, or copy /b), then added to the "
                "library; better choose a repository with shards (-00001-of-...).",
                details="\n".join(cut.paths),
            )


def _no_such_quant(
    page: RepositoryPage, quants: Sequence[QuantFiles], name: str
) -> RemoteNotFoundError:
    names = {text.lower(): text for quant in quants for text in (quant.quant, quant.name) if text}
    close = difflib.get_close_matches(name.strip().lower(), names, n=_HINTED_NAMES, cutoff=0.5)
    if close:
        hint = f"Did you mean {' or '.join(names[text] for text in close)}?"
    elif quants:
        hint = f"It has: {_listed(list(dict.fromkeys(q.quant or q.name for q in quants)))}."
    else:
        hint = "It has no GGUF files at all."
    return RemoteNotFoundError(
        f'{page.repository} has no checkpoint called "{name[:200]}".', hint=hint
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _HINTED_NAMES
    return ", ".join(names[:_HINTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def _check_whole(page: RepositoryPage, quant: QuantFiles, files: Sequence[RemoteFile]) -> None:
    if not files:
        raise BadInputError(f"{page.repository} has no checkpoint {quant.name}.")
    lacking = quant.shards - len(files)
    if lacking > 0:
        raise MissingShardError(
            f"{lacking} of {quant.shards} parts of {quant.name} are not in {page.repository}.",
            hint="Its publisher may still be uploading; try later, or choose another one.",
        )
    if any(file.size_bytes <= 0 for file in files):
        raise BadInputError(f"A part of {quant.name} is empty in {page.repository}.")


def _texts(files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Return licence and model card; one that cannot be fetched safely is left out."""
    found = []
    for file in sorted(files, key=lambda file: file.path):
        is_small = 0 < file.size_bytes <= MAX_TEXT_BYTES
        if is_text(file.path) and is_small and _DIGEST.fullmatch(file.digest):
            found.append(file)
    try:
        check_collisions(file.path for file in found)
    except UnsafeNameError:
        # README.md beside readme.md: no reason to refuse the checkpoint.
        return ()
    return tuple(found)


def _file_spec(page: RepositoryPage, file: RemoteFile) -> FileSpec:
    if not is_fetchable(file.path):
        raise BadInputError(
            f'"{file.path}" is not fetched.', hint="Only GGUF files and a few texts ever are."
        )
    if not _DIGEST.fullmatch(file.digest):
        host = urlsplit(page.endpoint).hostname or page.endpoint
        raise BadInputError(
            f"{host} gives no digest for {file.path}, so that it could not be checked.",
            hint="Ask Hugging Face itself, or choose another mirror.",
        )
    return FileSpec(file.path, safe_target(file.path), file.size_bytes, file.digest)


def _check_same(
    page: RepositoryPage, files: Sequence[RemoteFile], official: RepositoryPage
) -> None:
    known = {file.path: file for file in official.files}
    for file in files:
        other = known.get(file.path)
        if official.commit == page.commit and other == file:
            continue
        raise CorruptDownloadError(
            f"{urlsplit(page.endpoint).hostname} lists another {file.path} than Hugging Face.",
            hint="Do not use this mirror for it; leave the mirror in the settings empty.",
            details=f"{file} / {other} at {official.commit}",
        )
