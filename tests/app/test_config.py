"""The configuration: what is found, what lies on top of what, and how a mistake is told."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from makegood.app import config as configuration
from makegood.app.config import Config, load_config
from makegood.app.keys import KEYS, SECTIONS, SERVICES, keys_of
from makegood.app.wiring import database_of, registry_of, settings_of
from makegood.errors import ConfigurationError
from makegood.services.endpoint import Endpoint

EVERYTHING = """\
[workflow_engine]
max_concurrent_executions = 7      # executions advancing at once
execution_timeout_seconds = 90
lease_seconds = 2.5
drain_seconds = 0
[service_registry]
type = "local"
health_check_interval_seconds = 5
[storage]
type = "sqlite"
connection_string = "./trips.db"
[server]
listen = "127.0.0.1:9090"
insecure = false
zone = "eu-1"
[auth]
tokens_file = "tokens.toml"
[services.hotels]
url = "http://hotels:9000/api"
timeout_seconds = 1.5
health = "/healthz"
headers = {Authorization = "env:HOTELS_TOKEN"}
max_concurrent = 3
rate = 2.5
wait_seconds = 0
strict_idempotent = true
[services.flights]
urls = ["http://a:1", {url = "http://b:1/", labels = {zone = "eu-1"}}]
"""

SERVER_WITH_POSTGRES = """\
[workflow_engine]
max_concurrent_executions = 1000
execution_timeout_seconds = 3600

[service_registry]
type = "local"
health_check_interval_seconds = 30

[storage]
type = "postgres"
connection_string = "postgresql://user:pass@localhost/workflows"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(folder: Path, text: str, **environ: str) -> Config:
    (folder / "makegood.toml").write_text(text)
    return load_config(environ=environ)


def test_everything_has_a_default(folder: Path) -> None:
    config = load_config(environ={})

    assert config.source is None
    assert config.workflow_engine.max_concurrent_executions == 1000
    assert settings_of(config).execution_timeout_ms == 3_600_000
    assert database_of(config) == "./makegood.db"
    assert dict(config.services) == {}


def test_every_key_is_taken(folder: Path) -> None:
    config = loaded(folder, EVERYTHING)

    hotels, flights = config.services["hotels"], config.services["flights"]
    assert config.source == "makegood.toml"
    assert config.workflow_engine.max_concurrent_executions == 7
    assert config.workflow_engine.lease_seconds == 2.5
    assert config.workflow_engine.drain_seconds == 0
    assert settings_of(config).execution_timeout_ms == 90_000
    assert config.server.listen == "127.0.0.1:9090"
    assert config.auth.tokens_file == "tokens.toml"
    assert (hotels.urls, hotels.timeout_ms, hotels.wait_ms) == (("http://hotels:9000/api",), 1500, 0)
    assert (dict(hotels.headers), hotels.health) == ({"Authorization": "env:HOTELS_TOKEN"}, "/healthz")
    assert (hotels.max_concurrent, hotels.rate, hotels.strict_idempotent) == (3, 2.5, True)
    assert flights.endpoints == (Endpoint("http://a:1"), Endpoint("http://b:1", {"zone": "eu-1"}))
    assert config.server.zone == "eu-1"
    assert set(registry_of(config).names()) == {"hotels", "flights"}


def test_connection_string_may_be_kept_in_a_file_or_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "secret").write_text("./elsewhere.db\n", encoding="utf-8")
    monkeypatch.setenv("WHERE_IT_IS", "./third.db")

    kept_in_file = load_config(None, {"MAKEGOOD_STORAGE__CONNECTION_STRING": f"file:{folder}/secret"})
    kept_in_variable = load_config(None, {"MAKEGOOD_STORAGE__CONNECTION_STRING": "env:WHERE_IT_IS"})

    assert database_of(kept_in_file) == "./elsewhere.db"
    assert database_of(kept_in_variable) == "./third.db"


def test_connection_string_in_a_file_is_judged_by_what_it_is_and_never_told(folder: Path) -> None:
    secret = folder / "secret"
    config = load_config(
        None, {"MAKEGOOD_STORAGE__TYPE": "postgres", "MAKEGOOD_STORAGE__CONNECTION_STRING": f"file:{secret}"}
    )

    secret.write_text("postgresql://me:pssst@db/workflows\n", encoding="utf-8")
    assert database_of(config) == "postgresql://me:pssst@db/workflows"
    secret.write_text("mysql://me:pssst@elsewhere/workflows\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="file:") as refused:
        database_of(config)
    assert "pssst" not in str(refused.value)


@pytest.mark.parametrize("reference", ["file:/nowhere/at/all", "env:NOT_SET_AT_ALL"])
def test_connection_string_that_is_kept_nowhere_is_refused(folder: Path, reference: str) -> None:
    config = load_config(None, {"MAKEGOOD_STORAGE__CONNECTION_STRING": reference})

    with pytest.raises(ConfigurationError, match=reference):
        database_of(config)


def test_configuration_for_postgres_names_the_database(folder: Path) -> None:
    config = loaded(folder, SERVER_WITH_POSTGRES)

    assert config.storage.type == "postgres"
    assert database_of(config, "mine.db") == "mine.db"
    assert database_of(config).startswith("postgresql://")
    with pytest.raises(ConfigurationError, match="needs connection_string"):
        database_of(loaded(folder, '[storage]\ntype = "postgres"'))


def test_other_registries_load_and_are_refused_only_when_services_are_wanted(folder: Path) -> None:
    config = loaded(folder, '[service_registry]\ntype = "consul"')

    with pytest.raises(ConfigurationError, match=r"makegood\.toml:2: .*'consul' is not part of makegood"):
        registry_of(config)


def test_a_registry_that_discovers_needs_no_url(folder: Path) -> None:
    config = loaded(
        folder,
        '[service_registry]\ntype = "kubernetes"\nnamespace = "shop"\n'
        '[services.hotels]\ndiscover = "hotels:web"\n[services.flights]\ntimeout_seconds = 3',
    )

    registry = registry_of(config)

    assert set(registry.names()) == {"hotels", "flights"}
    assert registry.discovers
    assert registry.config("hotels").discover == "hotels:web"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[service_registry]\ntype = "kubernets"', "makegood.toml:2: service_registry.type = 'kubernets' is none of"),
        ('[service_registry]\ntype = "dns"\ndns_server = "resolver"', "dns_server = 'resolver' is no address"),
        ('[services.hotels]\ndiscover = "hotels.example"', "makegood.toml:2: service 'hotels': discover = "),
        (
            '[service_registry]\ntype = "dns"\n[services.hotels]\ndiscover = "no name"',
            "makegood.toml:4: service 'hotels': discover: 'no name' is no host name",
        ),
        ('[service_registry]\ntype = "dns"\n[services.hotels]\nmax_concurrent = 3', "has no url, and is not found"),
        (
            '[service_registry]\ntype = "dns"\n[services.hotels]\ndiscover = "a.example"\nurls = ["http://a", "http://b"]',
            "Keep url or none",
        ),
    ],
)
def test_what_cannot_be_discovered_is_refused_where_it_stands(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        registry_of(loaded(folder, text))

    assert said in str(refused.value)


def test_named_file_is_read_instead_of_the_one_that_lies_here(folder: Path) -> None:
    (folder / "makegood.toml").write_text('[storage]\nconnection_string = "here.db"')
    (folder / "other.toml").write_text('[storage]\nconnection_string = "other.db"')

    assert database_of(load_config("other.toml", environ={})) == "other.db"


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("MAKEGOOD_STORAGE__CONNECTION_STRING", "x.db", lambda c: c.storage.connection_string == "x.db"),
        ("MAKEGOOD_STORAGE__TYPE", "memory", lambda c: database_of(c) == ":memory:"),
        ("MAKEGOOD_WORKFLOW_ENGINE__LEASE_SECONDS", "2.5", lambda c: c.workflow_engine.lease_seconds == 2.5),
        ("MAKEGOOD_SERVER__INSECURE", "true", lambda c: c.server.insecure is True),
        ("MAKEGOOD_SERVICES__HOTELS__URL", "http://x", lambda c: c.services["hotels"].urls == ("http://x",)),
        ("MAKEGOOD_SERVICES__CARS__URL", "http://c", lambda c: c.services["cars"].urls == ("http://c",)),
        ("MAKEGOOD_SERVICES__CARS__URLS", "http://a, http://b", lambda c: len(c.services["cars"].urls) == 2),
        (
            "MAKEGOOD_SERVICES__CARS__URLS",
            '["http://a", {"url": "http://b", "labels": {"zone": "x"}}]',
            lambda c: c.services["cars"].labels == {"http://b": {"zone": "x"}},
        ),
        ("MAKEGOOD_SERVICES__HOTELS__RATE", "0.5", lambda c: c.services["hotels"].rate == 0.5),
        (
            "MAKEGOOD_SERVICES__HOTELS__HEADERS",
            '{"A": "env:B"}',
            lambda c: c.services["hotels"].headers == {"A": "env:B"},
        ),
        ("MAKEGOOD_HOME", "no section, not ours", lambda c: c.storage.connection_string == "file.db"),
    ],
)
def test_variables_lie_on_top_of_the_file(folder: Path, variable: str, value: str, read: object) -> None:
    text = '[storage]\nconnection_string = "file.db"\n[services.hotels]\nurl = "http://hotels"\n'

    config = loaded(folder, text, **{variable: value})

    assert callable(read)
    assert read(config)


MISTAKES = {
    "section": ("\n[storge]\n", "makegood.toml:2: there is no section [storge]. Did you mean 'storage'?"),
    "key": ('[storage]\n\nkind = "x"', "makegood.toml:3: [storage] has no key 'kind'. Known: connection_string, type."),
    "typo": (
        "[workflow_engine]\nmax_concurent_executions = 1",
        (
            "makegood.toml:2: [workflow_engine] has no key 'max_concurent_executions'. "
            "Did you mean 'max_concurrent_executions'?"
        ),
    ),
    "key without section": ("storage = 3", "makegood.toml:1: storage is a section. Write [storage]"),
    "dotted": ("storage.typ = 'x'", "makegood.toml:1: [storage] has no key 'typ'. Did you mean 'type'?"),
    "type": (
        '[workflow_engine]\nmax_concurrent_executions = "many"',
        "makegood.toml:2: workflow_engine.max_concurrent_executions must be a whole number, at least 1, not 'many'.",
    ),
    "bool is no number": ("[workflow_engine]\nlease_seconds = true", "must be a number of seconds, above 0, not True"),
    "range": (
        "[workflow_engine]\nlease_seconds = 0",
        "makegood.toml:2: workflow_engine.lease_seconds must be a number",
    ),
    "no time": (
        "[workflow_engine]\ndrain_seconds = -1",
        "makegood.toml:2: workflow_engine.drain_seconds must be a number of seconds, at least 0, not -1",
    ),
    "not finite": ("[workflow_engine]\nlease_seconds = nan", "must be a number of seconds, above 0, not nan"),
    "too large": ("[workflow_engine]\nlease_seconds = 1e300", "must be at most 1,000,000,000, not 1e+300"),
    "address": ('[server]\nlisten = "8080"', "makegood.toml:2: server.listen must be HOST:PORT"),
    "port": ('[server]\nlisten = "::1:80800"', "server.listen must be HOST:PORT"),
    "health": ('[services.hotels]\nurl = "http://x"\nhealth = "healthz"', "services.hotels.health must be a path"),
    "choice": ('[storage]\ntype = "mysql"', "must be 'sqlite' or 'postgres' or 'memory', not 'mysql'"),
    "empty": ('[storage]\nconnection_string = ""', "makegood.toml:2: storage.connection_string must be a text"),
    "service key": (
        '[services.hotels]\nurl = "http://x"\ntimeout = 3',
        "makegood.toml:3: [services.hotels] has no key 'timeout'. Did you mean 'timeout_seconds'?",
    ),
    "service without url": ("[services.hotels]\nmax_concurrent = 3", "makegood.toml:2: service 'hotels' has no url"),
    "service with both": (
        '[services.hotels]\nurl = "http://x"\nurls = ["http://y"]',
        "makegood.toml:3: service 'hotels' has both url and urls",
    ),
    "endpoint": (
        '[services.hotels]\nurls = [{url = "http://x", zone = "a"}]',
        "makegood.toml:2: services.hotels.urls must be a list of texts or of {url, labels}, not [{",
    ),
    "label": (
        '[services.hotels]\nurls = [{url = "http://x", labels = {zone = 1}}]',
        "services.hotels.urls must be a list of texts or of {url, labels}",
    ),
    "rate": (
        '[services.hotels]\nurl = "http://x"\nrate = 0',
        "makegood.toml:3: services.hotels.rate must be a number, above 0, not 0",
    ),
    "service as text": ('[services]\nhotels = "http://x"', "makegood.toml:2: a service is a section of its own"),
    "bad url": (
        '[services.hotels]\nurl = "hotels:9000"',
        "makegood.toml:2: service 'hotels': 'hotels:9000' is not an http",
    ),
    "header": (
        '[services.hotels]\nurl = "http://x"\nheaders = {Idempotency-Key = "x"}',
        "'Idempotency-Key' is set by makegood",
    ),
    "service name": ('[services."Ho tels"]\nurl = "http://x"', "'Ho tels' cannot be a service's name"),
    "no TOML": ("[storage\n", "makegood.toml:1:9: this is not TOML:"),
    "no value": ("[storage]\ntype =", "makegood.toml:2:"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_file_is_told_with_its_line_and_a_remedy(folder: Path, mistake: str) -> None:
    text, told = MISTAKES[mistake]

    with pytest.raises(ConfigurationError) as refused:
        loaded(folder, text)

    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MAKEGOOD_STORGE__TYPE", "x", "MAKEGOOD_STORGE__TYPE: there is no section 'storge'. Did you mean 'storage'?"),
        ("MAKEGOOD_STORAGE__TIPE", "x", "MAKEGOOD_STORAGE__TIPE: [storage] has no key 'tipe'. Did you mean 'type'?"),
        ("MAKEGOOD_STORAGE__TYPE", "mysql", "MAKEGOOD_STORAGE__TYPE: must be 'sqlite'"),
        ("MAKEGOOD_SERVER__INSECURE", "yes", "MAKEGOOD_SERVER__INSECURE: must be true or false, not 'yes'"),
        ("MAKEGOOD_WORKFLOW_ENGINE__LEASE_SECONDS", "1s", "must be a number of seconds, above 0, not '1s'"),
        ("MAKEGOOD_SERVICES__HOTELS", "http://x", "write MAKEGOOD_SERVICES__<NAME>__<KEY>"),
        ("MAKEGOOD_SERVICES__HOTELS__URL", "x", "MAKEGOOD_SERVICES__HOTELS__URL: service 'hotels': 'x' is not an http"),
    ],
)
def test_mistake_in_a_variable_is_told_with_its_name(folder: Path, variable: str, value: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_config(environ={variable: value})

    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "this is a folder"),
        (b"[storage]\ntype = '\xff'", "file.toml:2: the file is not UTF-8"),
        (b"x = 1" + b" " * 2_000_000, "has at most 1048576 bytes"),
    ],
)
def test_file_that_cannot_be_read(folder: Path, content: bytes | None, told: str) -> None:
    if content is None:
        (folder / "file.toml").mkdir()
    else:
        (folder / "file.toml").write_bytes(content)

    with pytest.raises(ConfigurationError, match=told):
        load_config("file.toml", environ={})


def test_secret_is_not_repeated_in_a_message(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(folder, '[services.hotels]\nurl = "http://user:hunter2@x"')

    assert "hunter2" not in str(refused.value)


def test_table_of_keys_and_sections_are_the_same() -> None:
    for section, shape in {
        "workflow_engine": configuration.WorkflowEngine,
        "service_registry": configuration.ServiceRegistry,
        "storage": configuration.Storage,
        "server": configuration.Server,
        "auth": configuration.Auth,
    }.items():
        assert [each.name for each in fields(shape)] == list(keys_of(section))
    assert {each.name for each in fields(Config)} >= set(SECTIONS)


def test_every_key_is_documented_and_has_a_variable() -> None:
    assert all(key.doc.endswith(".") for key in KEYS)
    assert {key.variable for key in KEYS if key.section == "storage"} == {
        "MAKEGOOD_STORAGE__TYPE", "MAKEGOOD_STORAGE__CONNECTION_STRING",
    }  # fmt: skip
    assert keys_of(SERVICES)["url"].variable == "MAKEGOOD_SERVICES__<NAME>__URL"


def test_defaults_are_values_that_may_be_written() -> None:
    for key in KEYS:
        if key.default is not None:
            assert key.checked(key.default) == key.default
