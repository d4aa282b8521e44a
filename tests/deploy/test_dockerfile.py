"""The image: what its file says, step by step. No container engine is needed, and none is used."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from artefacts import DEPLOY, ROOT
from offered import check_served, configured, parsed

from makegood.errors import ConfigurationError
from served import Served

TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
LINES = [
    (words[0], words[1])
    for line in re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if len(words := line.split(None, 1)) == 2
]
LAST = LINES[max(at for at, (word, _) in enumerate(LINES) if word == "FROM") :]


def of(word: str, lines: list[tuple[str, str]] = LAST) -> list[str]:
    return [rest for each, rest in lines if each == word]


def exec_form(word: str) -> list[str]:
    (rest,) = of(word)
    return list(json.loads(rest[rest.index("[") :]))


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in of("ENV") for pair in shlex.split(rest))


def test_both_stages_are_of_one_base_whose_tag_says_exactly_which() -> None:
    (base,) = [rest.partition("=")[2] for rest in of("ARG", LINES)]

    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert [rest.split()[0] for rest in of("FROM", LINES)] == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]


def test_base_has_a_python_that_makegood_runs_on() -> None:
    minor = int(re.search(r"python:3\.(\d+)", TEXT)[1])  # type: ignore[index]

    assert f"Programming Language :: Python :: 3.{minor}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_packages_come_from_the_hashed_locks_and_nothing_else() -> None:
    installs = [
        each for rest in of("RUN", LINES) for each in re.split(r";|&&", rest) if re.search(r"\binstall\b", each)
    ]
    by_pip = [each for each in installs if " pip " in each and "uninstall" not in each]

    assert len(by_pip) == 3
    for each in by_pip:
        assert "--require-hashes --only-binary=:all: -r requirements/" in each or "--no-index --no-deps" in each
    assert not re.search(r"\b(apt-get|apt|apk|curl|wget|npm|git)\b", "".join(of("RUN", LINES)))


def test_nothing_is_fetched_by_address() -> None:
    assert not of("ADD", LINES)
    assert "://" not in "".join(rest for _, rest in LINES)


def test_last_stage_has_no_tools_to_build_with() -> None:
    assert of("COPY") == ["--from=build /opt/makegood /opt/makegood"]
    assert any(rest.startswith("python -m pip uninstall --yes") for rest in of("RUN"))


def test_it_does_not_run_as_root() -> None:
    assert of("USER") == ["10001:10001"]
    words = [word for word, _ in LAST]
    assert "RUN" not in words[words.index("USER") :]


def test_it_runs_a_command_that_exists() -> None:
    assert exec_form("ENTRYPOINT") == ["makegood"]

    assert parsed(exec_form("CMD"))["listen"] is None


def test_it_listens_on_the_port_it_exposes_and_refuses_strangers() -> None:
    variables = environment()

    config = configured(None, variables)

    assert config.server.listen == f"0.0.0.0:{of('EXPOSE')[0]}"
    with pytest.raises(ConfigurationError, match="everybody could do everything"):
        check_served(config)
    check_served(configured(None, {**variables, "MAKEGOOD_AUTH__TOKENS_FILE": "/run/secrets/tokens.toml"}))


def test_health_check_tells_a_server_that_is_there_from_one_that_is_not(tmp_path: Path) -> None:
    probe = exec_form("HEALTHCHECK")
    assert probe[:3] == ["CMD", "python", "-c"] or probe[:2] == ["python", "-c"]
    code = probe[-1]
    assert code.count("8080") == 1

    with Served(folder=tmp_path) as served:
        there = code.replace("8080", served.url.rpartition(":")[2])
        assert subprocess.run([sys.executable, "-c", there], check=False).returncode == 0
        served.stop()
        gone = subprocess.run([sys.executable, "-c", there], check=False, stderr=subprocess.DEVNULL)
    assert gone.returncode != 0


def test_labels_say_what_it_is() -> None:
    labels = dict(pair.split("=", 1) for pair in shlex.split(of("LABEL")[0]))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)

    assert labels["org.opencontainers.image.title"] == "makegood"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert version is not None
    assert labels["org.opencontainers.image.version"] == version[1]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    rules = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    copied = [name for rest in of("COPY", LINES) if not rest.startswith("--from") for name in rest.split()[:-1]]

    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in rules
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert allowed == set(copied), "more is sent to the builder than the image is made of"
    assert any(fnmatch.fnmatch("src/makegood/__pycache__", rule) for rule in rules)
