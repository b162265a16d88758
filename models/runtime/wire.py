"""Plain JSON data into typed protocol dataclasses, with every type checked. No Qt here."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Hashable
from typing import Any, TypeVar

from models.errors import EngineProtocolError

_T = TypeVar("_T")


@functools.cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def build(cls: type[_T], data: Any, *, strict: bool) -> _T:
    """Build a dataclass from JSON data, checking every field's type.

    Args:
        cls: the dataclass.
        data: a JSON object with the dataclass's field names.
        strict: whether an unknown field is an error (requests) or ignored (events), also in the
            objects that a field holds.

    Raises:
        EngineProtocolError: a field is missing, unknown or of another type.
    """
    if not isinstance(data, dict):
        raise EngineProtocolError(f"{cls.__name__} must be an object.")
    key: Any = cls
    hints = _hints(key)
    unknown = sorted(set(data) - set(hints))
    if strict and unknown:
        raise EngineProtocolError(f"{cls.__name__} has no field {unknown[0]!r}.")
    values = {
        name: _convert(hints[name], value, f"{cls.__name__}.{name}", strict)
        for name, value in data.items()
        if name in hints
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise EngineProtocolError(f"{cls.__name__} lacks a field.", details=str(error)) from error


def _convert(hint: Any, value: Any, where: str, strict: bool) -> Any:
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert_union(args, value, where, strict)
    if origin is tuple:
        return _convert_tuple(args, value, where, strict)
    if origin in (dict, collections.abc.Mapping):
        if not isinstance(value, dict):
            raise EngineProtocolError(f"{where} must be an object.")
        return {str(key): _convert(args[1], item, where, strict) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, strict=strict)
    return _convert_scalar(hint, value, where)


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str, strict: bool) -> Any:
    """Convert to ``tuple[X, ...]``, or to ``tuple[X, Y]`` with as many items as it names."""
    if not isinstance(value, list):
        raise EngineProtocolError(f"{where} must be a list.")
    hints = args[:1] * len(value) if args[1:] == (Ellipsis,) else args
    if len(hints) != len(value):
        raise EngineProtocolError(f"{where} must be a list of {len(hints)}.")
    return tuple(
        _convert(hint, item, where, strict) for hint, item in zip(hints, value, strict=True)
    )


def _convert_union(args: tuple[Any, ...], value: Any, where: str, strict: bool) -> Any:
    """Convert to the first type of a union that takes the value; the last one says why not."""
    present = [arg for arg in args if arg is not type(None)]
    if value is None and len(present) < len(args):
        return None
    for hint in present[:-1]:
        try:
            return _convert(hint, value, where, strict)
        except EngineProtocolError:
            continue
    return _convert(present[-1], value, where, strict)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise EngineProtocolError(f"{where} is too large.") from error
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError as error:
            raise EngineProtocolError(f"{where} cannot be {value[:80]!r}.") from error
    if hint is int and isinstance(value, bool):
        raise EngineProtocolError(f"{where} must be of type int.")
    if not isinstance(value, hint):
        raise EngineProtocolError(f"{where} must be of type {hint.__name__}.")
    return value
