"""The one declared list of settings: key, type, default, bounds, words. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass

from models.runtime.protocol import LoadSettings, Sampling

SettingValue = bool | int | float | str | tuple[str, ...]

KINDS = ("bool", "int", "float", "str", "choice", "path_list", "text_list")
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


@dataclass(frozen=True)
class SettingSpec:
    """One setting. The dialog, the command line and the documentation are made from it.

    Attributes:
        key: ``section.name``, as in the file.
        kind: one of ``KINDS``; a ``path_list`` is a tuple of path texts, a ``text_list`` of texts.
        minimum, maximum: bounds of an int or float, both included.
        choices: the values of a ``choice``.
        group: heading in the dialog.
        hidden: not shown in the dialog: kept by the program itself, or shown on a page of its own.
    """

    key: str
    kind: str
    default: SettingValue
    title: str
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    group: str = ""
    hidden: bool = False


_LOAD = LoadSettings()
_SAMPLING = Sampling()
_MAX_TOKENS = 16_777_216

_APPEARANCE = (
    SettingSpec(
        "appearance.theme",
        "choice",
        "system",
        "Theme",
        "Light, dark, or as the system says.",
        choices=("system", "light", "dark"),
        group="Appearance",
    ),
)

_CHAT = (
    SettingSpec(
        "chat.system_prompt",
        "str",
        "",
        "System prompt",
        "Said to the model before every new conversation. May be empty.",
        group="Chat",
    ),
    SettingSpec(
        "chat.max_tokens",
        "int",
        0,
        "Longest answer",
        "In tokens. 0 means until the context is full.",
        minimum=0,
        maximum=_MAX_TOKENS,
        group="Chat",
    ),
    SettingSpec("chat.last_checkpoint", "str", "", "Last used checkpoint", hidden=True),
)

_ENGINE = (
    SettingSpec(
        "engine.n_ctx",
        "int",
        _LOAD.n_ctx,
        "Context",
        "How many tokens of conversation the model can see. 0 means chosen automatically.",
        minimum=0,
        maximum=_MAX_TOKENS,
        group="Engine",
    ),
    SettingSpec(
        "engine.n_threads",
        "int",
        _LOAD.n_threads,
        "Threads",
        "CPU threads for computing. 0 means one for each physical core.",
        minimum=0,
        maximum=512,
        group="Engine",
    ),
    SettingSpec(
        "engine.flash_attn",
        "choice",
        _LOAD.flash_attn,
        "Flash attention",
        "Needs less memory for long contexts. Automatic uses it where the device can.",
        choices=("auto", "on", "off"),
        group="Engine",
    ),
    SettingSpec(
        "engine.kv_type",
        "choice",
        _LOAD.type_k,
        "KV cache type",
        "Smaller types hold more context in the same memory and lose some accuracy.",
        choices=KV_TYPES,
        group="Engine",
    ),
    SettingSpec(
        "engine.rpc_hosts",
        "str",
        "",
        "RPC hosts",
        "Other machines that run llama.cpp's RPC worker, as host:port, separated by commas. "
        "Their devices can hold layers. There is no password: use it in a trusted network only.",
        group="Engine",
    ),
    SettingSpec(
        "engine.load_last_checkpoint",
        "bool",
        True,
        "Load the last checkpoint at start",
        "Otherwise nothing is loaded until you choose.",
        group="Engine",
    ),
)

_SAMPLING_SETTINGS = (
    SettingSpec(
        "sampling.temperature",
        "float",
        _SAMPLING.temperature,
        "Temperature",
        "Higher is more varied, lower is more exact. 0 always takes the likeliest token.",
        minimum=0.0,
        maximum=5.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.top_k",
        "int",
        _SAMPLING.top_k,
        "Top-k",
        "Only the k likeliest tokens are considered. 0 means all.",
        minimum=0,
        maximum=10_000,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.top_p",
        "float",
        _SAMPLING.top_p,
        "Top-p",
        "Only the likeliest tokens that together reach this probability. 1 means all.",
        minimum=0.0,
        maximum=1.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.min_p",
        "float",
        _SAMPLING.min_p,
        "Min-p",
        "Tokens less likely than this share of the likeliest one are left out.",
        minimum=0.0,
        maximum=1.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.repeat_penalty",
        "float",
        _SAMPLING.repeat_penalty,
        "Repetition penalty",
        "Above 1, tokens that were used lately become less likely.",
        minimum=0.1,
        maximum=3.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.presence_penalty",
        "float",
        _SAMPLING.presence_penalty,
        "Presence penalty",
        "Above 0, tokens that were used at all become less likely.",
        minimum=-2.0,
        maximum=2.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.dry_multiplier",
        "float",
        _SAMPLING.dry_multiplier,
        "DRY multiplier",
        "Above 0, repeating whole passages becomes less likely.",
        minimum=0.0,
        maximum=10.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.xtc_probability",
        "float",
        _SAMPLING.xtc_probability,
        "XTC probability",
        "How often the likeliest tokens are left out for the sake of variety.",
        minimum=0.0,
        maximum=1.0,
        group="Sampling",
    ),
    SettingSpec(
        "sampling.seed",
        "int",
        _SAMPLING.seed,
        "Seed",
        "The same seed and settings give the same answer. -1 draws one for every answer.",
        minimum=-1,
        maximum=4_294_967_294,
        group="Sampling",
    ),
)

_OTHER = (
    SettingSpec(
        "library.roots",
        "path_list",
        (),
        "Model folders",
        "Folders that are searched for GGUF files, besides Fathom's own.",
        group="Library",
    ),
    SettingSpec(
        "library.finds_others",
        "bool",
        True,
        "Show checkpoints of other programs",
        "Those in the Hugging Face cache and of LM Studio and Ollama; they are only read.",
        group="Library",
    ),
    SettingSpec(
        "downloads.folder",
        "str",
        "",
        "Download folder",
        "Where new checkpoints go. Empty means Fathom's own folder.",
        group="Downloads",
    ),
    SettingSpec(
        "downloads.limit_mb_s",
        "float",
        0.0,
        "Bandwidth limit",
        "In MB (million bytes) a second for all downloads together. 0 means none.",
        minimum=0.0,
        maximum=100_000.0,
        group="Downloads",
    ),
    SettingSpec(
        "downloads.connections",
        "int",
        4,
        "Connections",
        "How many parts of files are fetched at the same time.",
        minimum=1,
        maximum=8,
        group="Downloads",
    ),
    SettingSpec(
        "hub.endpoint",
        "str",
        "",
        "Mirror",
        "Address of a mirror of the hub, such as https://hub.example.org. Empty means "
        "HF_ENDPOINT, or else Hugging Face itself. A mirror is never shown a token.",
        group="Hub",
    ),
    SettingSpec(
        "hub.offline",
        "bool",
        False,
        "Work offline",
        "Nothing is sent to the hub; checkpoints that were looked at before can still be planned.",
        group="Hub",
    ),
    SettingSpec(
        "updates.address",
        "str",
        "",
        "Address for updates",
        "Where the signed list of newer versions lies. It is asked when you press the button, and "
        "at no other time. Empty means that Fathom asks nobody.",
        group="Updates",
    ),
    SettingSpec("window.geometry", "str", "", "Place of the window", hidden=True),
    SettingSpec("window.state", "str", "", "Parts of the window", hidden=True),
    SettingSpec("window.sidebar", "str", "", "State of the sidebar", hidden=True),
    SettingSpec("window.inspector", "str", "", "State of the inspector", hidden=True),
)

# Shown on the server's own page.
_SERVER = (
    SettingSpec(
        "server.starts_with_window",
        "bool",
        False,
        "Switch on with Fathom",
        "Otherwise the server is off until you switch it on.",
        group="Server",
        hidden=True,
    ),
    SettingSpec(
        "server.port",
        "int",
        8737,
        "Port",
        "The number in the address. Change it when another program uses the same one. 0 takes "
        "any that is free, another one with every start.",
        minimum=0,
        maximum=65_535,
        group="Server",
        hidden=True,
    ),
    SettingSpec(
        "server.allowed_origins",
        "text_list",
        (),
        "Allowed web pages",
        "Pages in a browser that may use the server; all others are refused, whatever they send. "
        "They need the key too.",
        group="Server",
        hidden=True,
    ),
)

SETTINGS: tuple[SettingSpec, ...] = (
    _APPEARANCE + _CHAT + _ENGINE + _SAMPLING_SETTINGS + _OTHER + _SERVER
)
