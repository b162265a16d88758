"""Checkpoints that the system keeps from this user: told before anything is done, in true words."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.library_samples import content, fetched, put
from models.errors import DiskError, LibraryError
from models.library.deletion import plan_deletion
from models.library.library import Library
from models.library.moving import plan_move
from models.library.verifying import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes of POSIX")
NOBODY = 65534


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can get into, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="fathom-shared-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def another_user() -> Iterator[None]:
    """Be an ordinary user for a while; only root can."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_not_said_to_be_written(shared: Path) -> None:
    path = put(shared / "closed.gguf", content(1))
    path.chmod(0)
    (entry,) = Library([shared], None).entries()
    with another_user(), pytest.raises(DiskError, match="may not read") as caught:
        verify(entry)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("is_fetched", [True, False])
def test_what_a_shared_folder_keeps_for_another_user_is_left_alone(
    shared: Path, is_fetched: bool
) -> None:
    library, other = shared / "library", shared / "other"
    for folder in (library, other):
        folder.mkdir()
    path = (
        fetched(library, "a.gguf", content(1))
        if is_fetched
        else put(library / "a.gguf", content(1))
    )
    for folder in (library, *library.rglob("*"), other):
        if folder.is_dir():
            folder.chmod(0o1777)
    (entry,) = Library([library], None).entries()
    with another_user():
        # The system means it.
        with pytest.raises(PermissionError):
            path.rename(other / "a.gguf")
        with pytest.raises(LibraryError, match="belongs to another user"):
            plan_deletion(entry)
        with pytest.raises(LibraryError, match="belongs to another user"):
            plan_move(entry, other)
    assert path.is_file()


def test_ones_own_file_in_a_shared_folder_is_ones_own(shared: Path) -> None:
    library = shared / "library"
    library.mkdir()
    library.chmod(0o1777)
    path = put(library / "a.gguf", content(1))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    (entry,) = Library([library], None).entries()
    with another_user():
        plan = plan_deletion(entry, for_good=True)
        assert path in plan.files
