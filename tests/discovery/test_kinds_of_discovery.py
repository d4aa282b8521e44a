"""Which ways of discovery there are, and how a package adds one."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from makegood.errors import ConfigurationError
from makegood.services.discovery import Settings, kinds
from makegood.services.discovery.dns import Dns
from makegood.services.discovery.kubernetes import Kubernetes
from makegood.services.discovery.local import Local


@pytest.mark.parametrize(("name", "kind"), [("local", Local), ("dns", Dns), ("kubernetes", Kubernetes)])
def test_there_are_three_of_its_own(name: str, kind: type) -> None:
    assert isinstance(kinds.discovery_of(name, Settings()), kind)


def test_one_that_is_known_elsewhere_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError) as refused:
        kinds.discovery_of("consul", Settings())

    assert "no package that provides it is installed" in str(refused.value)
    assert "entry point 'consul' of the group 'makegood.discovery'" in str(refused.value)


def test_a_misspelled_one_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'kubernetes'"):
        kinds.discovery_of("kubernets", Settings())


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has packages with such entry points installed."""

    def install(**points: str) -> None:
        found = EntryPoints(EntryPoint(name, value, kinds.GROUP) for name, value in points.items())
        monkeypatch.setattr(kinds, "entry_points", lambda *, group: found.select(group=group))

    return install


def test_a_package_adds_one_by_an_entry_point(installed: Any) -> None:
    installed(consul="third_party_discovery:Ours")

    made = kinds.discovery_of("consul", Settings(options={"address": "http://127.0.0.1:8500"}))

    assert type(made).__name__ == "Ours"
    assert made.options == {"address": "http://127.0.0.1:8500"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module:Ours", "no_such_module:Ours cannot be used: ModuleNotFoundError"),
        ("third_party_discovery:Missing", "AttributeError"),
        ("third_party_discovery:broken", "RuntimeError: out of order"),
        ("third_party_discovery:choosy", "consul needs options.address"),
    ],
)
def test_one_that_does_not_load_is_said_by_its_name(installed: Any, value: str, said: str) -> None:
    installed(consul=value)

    with pytest.raises(ConfigurationError) as refused:
        kinds.discovery_of("consul", Settings())

    assert said in str(refused.value)
