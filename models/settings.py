"""The user's settings: declared once, checked, kept in a TOML file. No Qt here.

Only values that differ from their default are written, so that a better default reaches
everybody who never chose. Whatever the file holds that this version does not know is kept.
"""

from __future__ import annotations

import copy
import difflib
import errno
import math
import os
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from models.errors import InvalidSettingError, SettingsFileError
from models.private_files import make_private_folder
from models.settings_list import SETTINGS, SettingSpec, SettingValue
from models.whole_files import sync_folder, write_whole

__all__ = ["MIGRATIONS", "SETTINGS", "SettingSpec", "SettingValue", "Settings", "check_value"]

Document = dict[str, Any]
Migration = Callable[[Document], None]

VERSION_KEY = "version"
# Entry i changes a document of version i + 1 in place into one of version i + 2.
MIGRATIONS: tuple[Migration, ...] = ()


class Settings:
    """The settings of one file; every method may be called from any thread."""

    def __init__(
        self,
        path: Path,
        *,
        specs: Sequence[SettingSpec] = SETTINGS,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        self.path = path
        self._specs = {spec.key: spec for spec in specs}
        self._migrations = tuple(migrations)
        self._document: Document = {}
        self._values: dict[str, SettingValue] = {}
        self._lock = threading.RLock()
        self._saving = threading.Lock()

    @property
    def backup_path(self) -> Path:
        """Where the file is kept when something in it could not be used."""
        return self.path.with_name(self.path.name + ".bak")

    @property
    def version(self) -> int:
        """The version of the file's layout that this program writes."""
        return len(self._migrations) + 1

    def specs(self) -> tuple[SettingSpec, ...]:
        """Return all declared settings in their order."""
        return tuple(self._specs.values())

    def spec(self, key: str) -> SettingSpec:
        """Return the declaration of one setting.

        Raises:
            InvalidSettingError: there is no such setting.
        """
        found = self._specs.get(key)
        if found is None:
            close = difflib.get_close_matches(key, self._specs, n=1)
            hint = f'Did you mean "{close[0]}"?' if close else ""
            raise InvalidSettingError(f'There is no setting "{key[:80]}".', hint=hint)
        return found

    def load(self) -> list[str]:
        """Read the file and return what could not be used, in sentences; no file is no problem.

        A value that is out of bounds gets its default. When anything was unusable the file as it
        was is kept under ``backup_path``.

        Raises:
            SettingsFileError: the file is there and cannot be read at all, or not backed up.
        """
        raw = self._read()
        warnings: list[str] = []
        document = _parse(raw, warnings)
        migrated = self._migrate(document, warnings)
        with self._lock:
            self._document = document
            self._values = self._take_values(document, warnings)
        if raw and (warnings or migrated):
            _write_atomically(self.backup_path, raw)
        return warnings

    def save(self) -> None:
        """Write the file, atomically and readable by its owner only.

        Raises:
            SettingsFileError: the file cannot be written; the one on disk is untouched.
        """
        # The disk may take long; nobody who only wants to read a value waits for it.
        with self._saving:
            with self._lock:
                document = copy.deepcopy(self._document)
                for key, spec in self._specs.items():
                    _store(document, key, self._values.get(key, spec.default), spec.default)
                document = {VERSION_KEY: self._file_version(), **document}
            _write_atomically(self.path, tomli_w.dumps(document).encode())
            with self._lock:
                self._document = document

    def get(self, key: str) -> SettingValue:
        """Return a value or its default.

        Raises:
            InvalidSettingError: there is no such setting.
        """
        with self._lock:
            return self._values.get(key, self.spec(key).default)

    def get_bool(self, key: str) -> bool:
        """Return the value of a bool setting."""
        return bool(self.get(key))

    def get_int(self, key: str) -> int:
        """Return the value of an int setting."""
        value = self.get(key)
        assert isinstance(value, int)
        return value

    def get_float(self, key: str) -> float:
        """Return the value of a float or int setting."""
        value = self.get(key)
        assert isinstance(value, (int, float))
        return float(value)

    def get_str(self, key: str) -> str:
        """Return the value of a str or choice setting."""
        value = self.get(key)
        assert isinstance(value, str)
        return value

    def get_texts(self, key: str) -> tuple[str, ...]:
        """Return the value of a text_list setting."""
        value = self.get(key)
        assert isinstance(value, tuple)
        return value

    def get_paths(self, key: str) -> tuple[Path, ...]:
        """Return the value of a path_list setting as paths, ``~`` expanded."""
        value = self.get(key)
        assert isinstance(value, tuple)
        return tuple(_expanded(text) for text in value)

    def set(self, key: str, value: object) -> None:
        """Change a value in memory (``save`` writes it).

        Raises:
            InvalidSettingError: no such setting, wrong type or out of bounds; nothing is changed.
        """
        checked = check_value(self.spec(key), value)
        with self._lock:
            self._values[key] = checked

    def reset(self, key: str) -> None:
        """Give a setting its default again."""
        self.set(key, self.spec(key).default)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _file_error("read", self.path, error) from error

    def _migrate(self, document: Document, warnings: list[str]) -> bool:
        """Bring ``document`` to this version; on a failure it stays as it was."""
        version = document.get(VERSION_KEY, 1)
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            warnings.append("The version of the settings file is not a number; 1 is assumed.")
            version = document[VERSION_KEY] = 1
        if version > self.version:
            warnings.append("The settings were written by a newer Fathom; unknown ones are kept.")
        if version >= self.version:
            return False
        changed = copy.deepcopy(document)
        try:
            for migration in self._migrations[version - 1 :]:
                migration(changed)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the old document stands
            warnings.append(f"The settings could not be brought to the new version: {error!r}.")
            return False
        changed[VERSION_KEY] = self.version
        document.clear()
        document.update(changed)
        return True

    def _file_version(self) -> int:
        # A failed migration leaves its version, so that a corrected one can run later.
        version = self._document.get(VERSION_KEY, self.version)
        return version if isinstance(version, int) else self.version

    def _take_values(self, document: Document, warnings: list[str]) -> dict[str, SettingValue]:
        values: dict[str, SettingValue] = {}
        for section in sorted({key.partition(".")[0] for key in self._specs}):
            if not isinstance(document.get(section, {}), dict):
                warnings.append(f'"{section}" must be a section. Its defaults are used.')
        for key, spec in self._specs.items():
            raw = _find(document, key)
            if raw is None:
                continue
            try:
                values[key] = check_value(spec, raw)
            except InvalidSettingError as error:
                warnings.append(f"{error.message} The default is used.")
        return values


def check_value(spec: SettingSpec, value: object) -> SettingValue:
    """Return ``value`` in the setting's own type.

    Raises:
        InvalidSettingError: wrong type or out of bounds.
    """
    checked = _typed(spec.kind, value)
    if checked is None:
        words = {
            "choice": "one of its choices",
            "path_list": "a list of folders",
            "text_list": "a list of texts",
        }
        expected = words.get(spec.kind, f"of type {spec.kind}")
        raise InvalidSettingError(f"{spec.key} must be {expected}, not {_shown(value)}.")
    if spec.kind == "choice" and checked not in spec.choices:
        choices = ", ".join(spec.choices)
        raise InvalidSettingError(f"{spec.key} must be one of {choices}, not {_shown(value)}.")
    if isinstance(checked, (int, float)) and not _within(checked, spec):
        raise InvalidSettingError(f"{spec.key} must be {_bounds(spec)}, not {_shown(value)}.")
    return checked


def _within(value: float, spec: SettingSpec) -> bool:
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    return low <= value <= high


def _bounds(spec: SettingSpec) -> str:
    if spec.maximum is None:
        return f"at least {spec.minimum}"
    if spec.minimum is None:
        return f"at most {spec.maximum}"
    return f"from {spec.minimum} to {spec.maximum}"


def _typed(kind: str, value: object) -> SettingValue | None:
    """Return ``value`` as ``kind``, None when it is not one."""
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if kind == "int":
        return value if isinstance(value, int) else None
    if kind == "float":
        return _finite(value)
    if kind in ("path_list", "text_list"):
        if not isinstance(value, (list, tuple)):
            return None
        texts = tuple(os.fspath(p) if isinstance(p, Path) else p for p in value)
        return texts if all(isinstance(p, str) and p and _writable(p) for p in texts) else None
    return value if isinstance(value, str) and _writable(value) else None


def _finite(value: object) -> float | None:
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _writable(text: str) -> bool:
    # A file name that is not UTF-8 reaches Python with lone surrogates; TOML cannot hold them.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _parse(raw: bytes, warnings: list[str]) -> Document:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        warnings.append(f"The settings file is not valid TOML ({error}). All defaults are used.")
        return {}


def _find(document: Mapping[str, Any], key: str) -> object:
    node: object = document
    for part in key.split("."):
        if not isinstance(node, Mapping):
            return None
        node = node.get(part)
    return node


def _store(document: Document, key: str, value: SettingValue, default: SettingValue) -> None:
    *sections, name = key.split(".")
    node = document
    for section in sections:
        child = node.get(section)
        if not isinstance(child, dict):
            if value == default:
                return
            child = node[section] = {}
        node = child
    if value == default:
        node.pop(name, None)
    else:
        node[name] = list(value) if isinstance(value, tuple) else value


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 so that a crash leaves the old or the new one, never half."""
    # A settings file that is a link (dotfiles) stays one.
    target = Path(os.path.realpath(path))
    try:
        make_private_folder(target.parent)
        write_whole(target, content, to_disk=True)
        sync_folder(target.parent)
    except OSError as error:
        raise _file_error("write", path, error) from error


def _file_error(verb: str, path: Path, error: OSError) -> SettingsFileError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "Free some space." if is_full else "Check the permissions of the file and its folder."
    return SettingsFileError(f"Fathom cannot {verb} {path} ({error.strerror or error}).", hint=hint)
