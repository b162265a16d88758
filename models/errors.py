"""Every failure Fathom expects, as a class with a message, a hint and details. No Qt here.

An error says three things: what happened (``message``, one sentence), what the reader can do
about it (``hint``, may be empty) and what a bug report needs (``details``, may be long). The
window shows them through one door; the command line prints the first two in one line and exits
with ``exit_code``. Errors cross the engine protocol by ``code``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FathomError(Exception):
    """Base of all expected failures.

    Attributes:
        code: stable name, the same in the protocol, in ``--json`` output and in logs.
        exit_code: what the command line exits with: 1 for a failure, 2 for bad input.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def one_line(self) -> str:
        """Return message and hint in one line, as the command line prints them."""
        text = f"{self.message} {self.hint}" if self.hint else self.message
        return " ".join(text.split())

    def to_json(self) -> dict[str, str]:
        """Return the error as the protocol and ``--json`` carry it."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


class StoppedError(FathomError):
    """The work was stopped because its caller asked for that: an outcome, not a failure.

    It only leads the way out of what was being done; nobody is shown it as an error.
    """

    code = "stopped"
    exit_code = 130

    def __init__(self, message: str = "Stopped.", *, hint: str = "", details: str = "") -> None:
        super().__init__(message, hint=hint, details=details)


# --- bad input: the user gave something that cannot be used -------------------------------------


class BadInputError(FathomError):
    """Something the user gave cannot be used; nothing was changed."""

    code = "bad_input"
    exit_code = 2


class CheckpointNotFoundError(BadInputError):
    """The path or library name leads to no checkpoint."""

    code = "checkpoint_not_found"


class CheckpointUnreadableError(BadInputError):
    """The checkpoint is there, but the system does not let Fathom read it."""

    code = "checkpoint_unreadable"


class NotGgufError(BadInputError):
    """The file is not a GGUF file, whatever its name says."""

    code = "not_gguf"


class CorruptGgufError(BadInputError):
    """A GGUF header contradicts itself or the file; ``offset`` is where, in bytes."""

    code = "corrupt_gguf"

    def __init__(
        self, message: str, *, offset: int = -1, hint: str = "", details: str = ""
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.offset = offset


class TruncatedGgufError(CorruptGgufError):
    """The file ends before its last tensor does, as after a broken download."""

    code = "truncated_gguf"


class UnsupportedGgufError(BadInputError):
    """A sound GGUF file of a version or byte order that the engine cannot read."""

    code = "unsupported_gguf"


class NotAChatModelError(BadInputError):
    """A sound GGUF file that holds something else than a model to chat with."""

    code = "not_a_chat_model"


class MissingShardError(BadInputError):
    """A checkpoint of several files lacks one of them."""

    code = "missing_shard"


class UnknownArchitectureError(BadInputError):
    """The checkpoint's architecture is one the engine cannot run."""

    code = "unknown_architecture"


class ContextTooLargeError(BadInputError):
    """The context asked for cannot fit in this machine's memory."""

    code = "context_too_large"


class PromptTooLongError(BadInputError):
    """The conversation is longer than the context that was loaded."""

    code = "prompt_too_long"


class TemplateError(BadInputError):
    """The checkpoint's chat template failed, ran too long or refused the conversation."""

    code = "template"


class UndecidedError(BadInputError):
    """Something about the checkpoint should be looked at before it is loaded."""

    code = "undecided"


class InvalidSettingError(BadInputError):
    """A setting has a type or value outside its declared bounds."""

    code = "invalid_setting"


# --- the network and the hub --------------------------------------------------------------------


class NetworkError(FathomError):
    """A server could not be reached, or the connection broke and stayed broken."""

    code = "network"


class UnreachableError(NetworkError):
    """No connection to a server can be made at all."""

    code = "unreachable"


class UntrustedServerError(NetworkError):
    """A server cannot prove that it is the one that was asked for."""

    code = "untrusted_server"


class NetworkTooSlowError(NetworkError):
    """A server sends nothing, or so little that waiting makes no sense."""

    code = "network_too_slow"


class OfflineError(NetworkError):
    """The network is needed, and the user said that it must not be used."""

    code = "offline"


class ServerError(NetworkError):
    """A server answered that it has a problem of its own."""

    code = "server"


class ServerAnswerError(NetworkError):
    """A server, or something before it, answered with something else than what was asked for."""

    code = "server_answer"


class RateLimitedError(NetworkError):
    """The hub was asked too often; ``retry_after_s`` is its own word on when to ask again."""

    code = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        details: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.retry_after_s = retry_after_s


class RemoteChangedError(NetworkError):
    """A file on a server changed while it was read."""

    code = "remote_changed"


class CorruptDownloadError(NetworkError):
    """What was fetched is not what the hub promised, also after it was fetched again."""

    code = "corrupt_download"


class RemoteNotFoundError(BadInputError):
    """There is no such repository, revision or file, or it is not shown to this user."""

    code = "remote_not_found"


class AccessError(BadInputError):
    """The hub keeps a repository from this user; the subclasses say why."""

    code = "access"


class LoginNeededError(AccessError):
    """Only users who are logged in may read it, and no token was given."""

    code = "login_needed"


class LicenceNotAcceptedError(AccessError):
    """The token is good, and its owner has not been given access."""

    code = "licence_not_accepted"


class AccessPendingError(LicenceNotAcceptedError):
    """Access was asked for, and the publisher has not decided yet."""

    code = "access_pending"


class TokenInvalidError(AccessError):
    """The hub does not know the token."""

    code = "token_invalid"


# --- the engine ---------------------------------------------------------------------------------


class EngineError(FathomError):
    """The engine child failed."""

    code = "engine"


class EngineStartError(EngineError):
    """The engine child could not be started or never said hello."""

    code = "engine_start"


class EngineVersionError(EngineError):
    """The engine child speaks another version of the protocol."""

    code = "engine_version"


class EngineProtocolError(EngineError):
    """The engine child sent something that is not the protocol."""

    code = "engine_protocol"


class EngineCrashedError(EngineError):
    """The engine child died; the message says how in words."""

    code = "engine_crashed"


class EngineUnresponsiveError(EngineError):
    """The engine child did not react in time and was ended."""

    code = "engine_unresponsive"


class EngineBusyError(EngineError):
    """The engine is doing something else, or no checkpoint is loaded."""

    code = "engine_busy"


class OutOfMemoryError(EngineError):
    """A device or the RAM has no room for what was asked."""

    code = "out_of_memory"


class LoadError(EngineError):
    """llama.cpp refused the checkpoint; ``details`` holds its own words."""

    code = "load"


class RpcHostError(EngineError):
    """A remote machine that was to lend its devices does not answer as llama.cpp's RPC worker."""

    code = "rpc_host"


class OracleError(EngineError):
    """llama.cpp's dry run refused a plan, died or took too long; ``details`` holds its words."""

    code = "oracle"


class PlannerChildError(EngineError):
    """The child that plans cannot be started, died or took too long."""

    code = "planner_child"


class DecodeError(EngineError):
    """llama.cpp failed while computing tokens."""

    code = "decode"


class AddonError(BadInputError):
    """An add-on is not signed, is damaged, was made for another Fathom, or is not there."""

    code = "addon"


# --- downloads and the library -------------------------------------------------------------------


class UnsafeNameError(BadInputError):
    """A file name from elsewhere that no file on this machine should get."""

    code = "unsafe_name"


class DiskFullError(FathomError):
    """There is no room for what is to be written; ``missing_bytes`` is how much lacks."""

    code = "disk_full"

    def __init__(
        self, message: str, *, hint: str = "", details: str = "", missing_bytes: int = 0
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.missing_bytes = missing_bytes


class DiskError(FathomError):
    """The disk cannot be read or written: not mounted, read-only, broken, not allowed."""

    code = "disk"


class DownloadBusyError(FathomError):
    """Another Fathom is fetching the same files."""

    code = "download_busy"


class DownloadNotFoundError(BadInputError):
    """There is no such download."""

    code = "download_not_found"


class TransferError(FathomError):
    """The transfer child cannot be started, or ends again and again."""

    code = "transfer"


class ChecksumError(FathomError):
    """A checkpoint's files are not what they were when they were fetched."""

    code = "checksum"


class LibraryError(FathomError):
    """A checkpoint cannot be moved, deleted or added."""

    code = "library"


class TemplateCheckError(FathomError):
    """The child that tries out chat templates cannot be started."""

    code = "template_check"


class FormulaError(FathomError):
    """The child that draws formulas cannot be started, died or took too long."""

    code = "formula"


class KeyringError(FathomError):
    """The system's store of passwords cannot be used."""

    code = "keyring"


# --- the server for other programs ----------------------------------------------------------------


class ServerKeyError(FathomError):
    """The file with the key of the server is damaged, or somebody else's."""

    code = "server_key"


class ServerDownError(FathomError):
    """The child that speaks HTTP cannot be started, or ended; ``details`` holds its last words."""

    code = "server_down"


class ServerPortError(FathomError):
    """The port that was asked for cannot be had; another program has it, as a rule."""

    code = "server_port_busy"


class ServerAddressError(BadInputError):
    """The address of a web page that is to be allowed is none."""

    code = "server_address"


# --- updates --------------------------------------------------------------------------------------


class UpdateError(FathomError):
    """A newer version cannot be looked for or fetched."""

    code = "update"


class UpdatesOffError(BadInputError):
    """Fathom is not set up to look for newer versions."""

    code = "updates_off"


class UpdateRefusedError(UpdateError):
    """What came as an update must not be believed: not signed, too old, or senseless."""

    code = "update_refused"


# --- the installation, stores and settings ------------------------------------------------------


class InstallationError(FathomError):
    """A part of Fathom's own installation is missing or broken."""

    code = "installation"


class CatalogError(InstallationError):
    """A card of the catalogue is missing something or contradicts itself."""

    code = "catalog"


class StoreError(FathomError):
    """The conversation store cannot be read or written."""

    code = "store"


class StoreVersionError(StoreError):
    """The conversation store was written by a newer Fathom."""

    code = "store_version"


class StoreCorruptError(StoreError):
    """The conversation file is damaged; it can be set aside and a new one begun."""

    code = "store_corrupt"


class StoreLockedError(StoreError):
    """Another program holds the conversation file; trying again makes sense."""

    code = "store_locked"


class SettingsFileError(FathomError):
    """The settings file cannot be read or written."""

    code = "settings_file"


def _subclasses(base: type[FathomError]) -> list[type[FathomError]]:
    direct = base.__subclasses__()
    return direct + [leaf for child in direct for leaf in _subclasses(child)]


def error_from_json(data: dict[str, Any]) -> FathomError:
    """Rebuild an error that crossed the protocol; an unknown code becomes ``EngineError``."""
    by_code = {cls.code: cls for cls in _subclasses(FathomError)}
    cls = by_code.get(str(data.get("code", "")), EngineError)
    return cls(
        str(data.get("message", "")),
        hint=str(data.get("hint", "")),
        details=str(data.get("details", "")),
    )
