"""What a `[services.NAME]` says of requests, and where a mistake in it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from makegood.app.config import load_config, service_from
from makegood.app.contracts import read_contract
from makegood.app.effective import effective
from makegood.errors import ConfigurationError

GOOD = """\
[services.hotels]
url = "https://hotels.test/api"
auth = {user = "makegood", password = "file:/run/secrets/hotels"}
tls = {ca = "ca.pem", certificate = "client.pem", key = "client.key"}

[services.hotels.methods.reserve]
verb = "PUT"
path = "/rooms/{input.room}/bookings/{key}"
query = {nights = "{input.nights}"}
body = {guest = "${input.guest}"}
output = {booking = "${reply.body.id}"}
outcomes = {409 = "ok"}

[services.hotels.methods]
cancel = {verb = "DELETE", path = "/bookings/{input.forward_key}"}
"""


def written(folder: Path, text: str) -> str:
    file = folder / "makegood.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_service_of_another_make_is_described(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), environ={}).services["hotels"]

    assert config.credentials is not None
    assert config.credentials.user == "makegood"
    assert config.pem_files is not None
    assert config.pem_files.key == "client.key"
    assert set(config.templates) == {"reserve", "cancel"}
    assert config.templates["reserve"].outcomes == {409: "ok"}
    assert not config.templates["cancel"].sends


def test_it_may_come_from_variables() -> None:
    environ = {
        "MAKEGOOD_SERVICES__HOTELS__URL": "http://h",
        "MAKEGOOD_SERVICES__HOTELS__AUTH": '{"bearer": "env:TOKEN"}',
        "MAKEGOOD_SERVICES__HOTELS__METHODS": '{"get": {"verb": "GET", "path": "/{input.id}"}}',
    }

    config = load_config("/dev/null", environ=environ).services["hotels"]

    assert config.credentials is not None
    assert config.templates["get"].verb == "GET"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ('verb = "PUT"', 'verb = "PUTT"', 7, "'PUTT' is no verb. Did you mean 'PUT'?"),
        ("/rooms/{input.room}", "/rooms/{inptu.room}", 8, "Did you mean 'input'?"),
        ("{nights = ", "{nights = 1, n = ", 9, "table of texts"),
        ("${input.guest}", "${inptu.guest}", 10, "inptu"),
        ("reply.body.id", "rpely.body.id", 11, "rpely"),
        ('"ok"}', '"okay"}', 12, "Did you mean 'ok'?"),
        ("outcomes = {409", "outcome = {409", 12, "no key 'outcome'. Did you mean 'outcomes'?"),
        ('cancel = {verb = "DELETE"', 'cancel = {verb = "KILL"', 15, "'KILL' is no verb"),
        ("user = ", "usr = ", 3, "Did you mean 'user'?"),
        ('tls = {ca = "', 'tls = {cacert = "', 4, "no key 'cacert'"),
        ("https://hotels.test/api", "http://hotels.test/api", 4, "not https"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(ConfigurationError) as refusal:
        load_config(file, environ={})

    assert str(refusal.value).startswith(f"{file}:{line}: service 'hotels'")
    assert said in str(refusal.value)


def test_a_mistake_in_a_variable_names_it(tmp_path: Path) -> None:
    variable = "MAKEGOOD_SERVICES__HOTELS__METHODS"

    with pytest.raises(ConfigurationError, match=f"{variable}: service 'hotels': method 'get'"):
        load_config(written(tmp_path, GOOD), environ={variable: '{"get": {"path": "x"}}'})


@pytest.mark.parametrize(
    "line",
    [
        'headers = "s3cret"',
        'headers = {Authorization = ["s3cret"]}',
        'headers = {Authorization = "s3cret\\u0001"}',
        'headers = {"s p" = "s3cret"}',
        'auth = "s3cret"',
        'auth = {bearer = "s3cret"}',
        'auth = {user = "u", password = "s3cret"}',
        'auth = {bearer = ["s3cret"]}',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_config(written(tmp_path, f'[services.hotels]\nurl = "http://h"\n{line}\n'), environ={})

    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ['[storage]\nconnection_string = ["postgresql://u:s3cret@h/d"]\n', '[callbacks]\nsecret = ["s3cret"]\n'],
)
def test_a_secret_of_the_wrong_kind_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_config(written(tmp_path, text), environ={})

    assert "s3cret" not in str(refusal.value)


def test_what_is_shown_of_it_has_references_alone(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), environ={})

    shown = {each.path: each.value for each in effective(config, {})}

    assert shown["services.hotels.auth"] == {"user": "makegood", "password": "file:/run/secrets/hotels"}


def test_a_description_is_read_as_the_templates_ask(tmp_path: Path) -> None:
    answer = {"content": {"application/json": {"schema": {"type": "object"}}}}
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "/api"}],
        "paths": {
            "/rooms/{room}/bookings/{id}": {"put": {"requestBody": answer, "responses": {"200": answer}}},
            "/bookings/{id}": {"delete": {"responses": {"200": answer}}},
        },
    }
    text = GOOD.replace("[services.hotels]", '[services.hotels]\nopenapi = "hotels.json"', 1)
    config = load_config(written(tmp_path, text), environ={}).services["hotels"]

    contract = read_contract(config, json.dumps(document).encode())

    assert set(contract.operations) == {"reserve", "cancel"}
    # Its body and its output are mapped, so that the description says nothing of the step's own.
    assert (contract.operations["reserve"].takes, contract.operations["reserve"].gives) == (None, None)
    assert contract.operations["cancel"].gives == {"type": "object"}
    assert contract.requests["reserve"] == "PUT /rooms/{input.room}/bookings/{key}"


def test_the_secret_of_callbacks_is_shown_as_a_reference_alone(tmp_path: Path) -> None:
    shown = {}
    for secret in ("s3cret-of-callbacks", "env:CALLBACKS"):
        text = f'[callbacks]\nurl = "http://h"\nsecret = "{secret}"\n'
        config = load_config(written(tmp_path, text), environ={})
        shown[secret] = {each.path: each.value for each in effective(config, {})}["callbacks.secret"]

    assert shown == {"s3cret-of-callbacks": "***", "env:CALLBACKS": "env:CALLBACKS"}


def test_a_service_alone_is_checked_likewise() -> None:
    with pytest.raises(ConfigurationError, match="methods: service 'hotels': method 'get': path"):
        service_from("hotels", {"url": "http://h", "methods": {"get": {"path": "x"}}})
