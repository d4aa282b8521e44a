"""`docs/howto/rerun-from-a-step.md`: its commands, one after the other, print what it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from cli_runs import Cli, Ran

from recording_service import Answer, RecordingService

PAGE = Path(__file__).parents[2] / "docs/howto/rerun-from-a-step.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
REFUSED = Answer(409, {"error": {"code": "no_money", "message": "the card is empty"}})


def test_its_commands_print_what_it_shows(cli: Cli, service: RecordingService, tmp_path: Path) -> None:
    services = "".join(f'[services.{name}]\nurl = "{service.url}"\n' for name in ("stock", "payments", "desk"))
    (tmp_path / "makegood.toml").write_text(services)
    file = tmp_path / "order.yaml"
    service.answers["charge"] = REFUSED
    ran: list[Ran] = []
    for language, text in BLOCKS:
        if language == "yaml":
            file.write_text(text)
            assert cli("run", "order.yaml", "--id", "o-2").code == 1
        if language == "sh":
            for line in text.splitlines():
                if "workflows put" in line:
                    file.write_text(file.read_text().replace("desk.receipt", "desk.invoice"))
                ran.append(cli(*shlex.split(line)[1:]))
                service.answers.pop("charge", None)
        if language == "text":
            assert ran[-1].out + ran[-1].err == text

    assert [each.code for each in ran] == [1, 0, 0, 1, 0, 0]
    assert service.methods == ["reserve", "charge", "reserve", "charge", "charge", "receipt"]
