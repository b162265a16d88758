"""From the user's settings to what the engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.engine_settings import load_settings, rpc_hosts, sampling
from models.runtime.llama.parameters import check_settings
from models.runtime.llama.sampling import check_sampling
from models.runtime.protocol import LoadSettings, Sampling
from models.settings import SETTINGS, Settings, SettingSpec

_BOUNDED = [spec for spec in SETTINGS if spec.key.startswith(("engine.", "sampling."))]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.toml")


def test_defaults_are_the_protocols(settings: Settings) -> None:
    assert load_settings(settings) == LoadSettings()
    assert sampling(settings) == Sampling()


def test_settings_reach_the_engine(settings: Settings) -> None:
    settings.set("engine.n_threads", 3)
    settings.set("engine.kv_type", "q8_0")
    settings.set("engine.n_ctx", 1024)
    settings.set("sampling.top_k", 7)
    loaded = load_settings(settings)
    assert (loaded.n_threads, loaded.type_k, loaded.type_v, loaded.n_ctx) == (
        3, "q8_0", "q8_0", 1024,
    )  # fmt: skip
    assert sampling(settings).top_k == 7


def test_rpc_hosts_are_separated_by_commas(settings: Settings) -> None:
    assert rpc_hosts(settings) == ()
    settings.set("engine.rpc_hosts", " a:1, b:2,,a:1 ")
    assert load_settings(settings).rpc_hosts == ("a:1", "b:2")


def test_what_is_given_wins_also_when_it_is_zero(settings: Settings) -> None:
    settings.set("engine.n_ctx", 1024)
    settings.set("sampling.seed", 5)
    assert load_settings(settings, n_ctx=0).n_ctx == 0
    given = sampling(settings, temperature=0.0, seed=0)
    assert (given.temperature, given.seed) == (0.0, 0)


@pytest.mark.parametrize("spec", _BOUNDED, ids=lambda spec: spec.key)
def test_whatever_a_setting_allows_the_engine_takes(settings: Settings, spec: SettingSpec) -> None:
    for value in (*spec.choices, spec.minimum, spec.maximum):
        if value is not None:
            settings.set(spec.key, value)
            check_settings(load_settings(settings))
            check_sampling(sampling(settings))
