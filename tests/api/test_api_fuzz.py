"""schemathesis asks a server whatever the description allows, and much that it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fuzz_hooks import ENDED

from makegood.api.tokens import new_token, tokens_text
from served import Served

HERE = Path(__file__).parent
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "unsupported_method", "allow_header_conformance", "negative_data_rejection",
    "ignored_auth",
)  # fmt: skip
CASES = re.compile(r"(\d+) generated")
HALVES = (("--include-path-regex", r"\{id\}"), ("--exclude-path-regex", r"\{id\}"))
"""Two askers at once, each of its own routes: one of them keeps one core busy."""


def asked(served: Served, token: str, folder: Path, *words: str) -> tuple[int, int, str]:
    """Exit code, how many cases, and what schemathesis says."""
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/openapi.json", "--checks", ",".join(CHECKS),
            "--header", f"Authorization: Bearer {token}", "--request-timeout", "10", "--suppress-health-check", "all",
            "--continue-on-failure", "--generation-deterministic", "--warnings", "off", *words,
        ],
        cwd=folder, capture_output=True, text=True, timeout=3_000, check=False,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )  # fmt: skip
    cases = CASES.search(done.stdout)
    return done.returncode, int(cases[1]) if cases else 0, done.stdout[-6_000:] + done.stderr[-2_000:]


@pytest.mark.parametrize(
    ("words", "cases"),
    [
        (("--phases", "fuzzing", "-n", "4"), 80),
        pytest.param(
            ("--phases", "coverage,fuzzing", "-n", "950"), 20_000,
            marks=[pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3_000)],
        ),
    ],
    ids=["a few", "20,000"],
)  # fmt: skip
def test_nothing_that_is_asked_breaks_it_or_is_answered_otherwise_than_described(
    tmp_path: Path, words: tuple[str, ...], cases: int
) -> None:
    token, told = new_token("fuzz")
    (tmp_path / "tokens.toml").write_text(tokens_text({"fuzz": ("admin", told)}))
    (tmp_path / "makegood.toml").write_text('[auth]\ntokens_file = "tokens.toml"\n')
    with Served(tmp_path) as served:
        bearer = f"Bearer {token}"
        for name in ("a", "trip"):
            steps = [{"id": "go", "signal": "go"}]
            assert served.ask("PUT", f"/v1/workflows/{name}", {"steps": steps}, Authorization=bearer)[0] == 201
            served.ask("POST", "/v1/executions", {"workflow": name, "id": name}, Authorization=bearer)
        assert served.ask("POST", f"/v1/executions/{ENDED}/cancel", Authorization=bearer)[0] == 202
        with ThreadPoolExecutor() as askers:
            answers = list(askers.map(lambda half: asked(served, token, tmp_path, *words, *half), HALVES))
        assert served.stop() == 0, served.said[-20:]
    for code, _, said in answers:
        assert code == 0, said
    assert sum(generated for _, generated, _ in answers) >= cases, answers
    wrong = [line for line in served.said if "request_failed" in line or "Traceback" in line]
    assert wrong == []
