"""The lock files: `python tools/locks.py` compiles them anew, `--check` compares them with pyproject.toml.

`requirements/dev.lock` has everything; `runtime.lock` and `build.lock` are parts of it, with the same
versions; `pip.lock` is for an environment that comes without pip. A lock says which dependency tables it
was compiled from, so that an edit of one without `make lock` is seen, and it names no package index: pip
asks the one it is configured for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
STAMP = "# compiled from: "
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+?)(?: ;.*| \\)?$", re.MULTILINE)

ALL = {
    "dev": ["--group", "pyproject.toml:build", "--group", "pyproject.toml:dev"],
    "runtime": ["--constraint", "requirements/dev.lock"],
    "build": ["--constraint", "requirements/dev.lock", "--group", "pyproject.toml:build"],
    "pip": ["--group", "pyproject.toml:pip"],
}
"""What each lock is compiled from."""
OWN = ("dev", "runtime")
"""These take the project's own dependencies too."""


def main() -> int:
    """Compile, or check; 1 when something does not agree."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="change nothing; exit 1 when a lock is out of date")
    arguments.add_argument("--upgrade", action="store_true", help="take the newest versions that are allowed")
    chosen = arguments.parse_args()
    if chosen.check:
        problems = disagreements()
        for problem in problems:
            print(problem, file=sys.stderr)
        return 1 if problems else 0
    compile_all(upgrade=chosen.upgrade)
    return 0


def tables() -> dict[str, list[str]]:
    """What pyproject.toml asks for, by lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    runtime = sorted(project["project"]["dependencies"])
    build = sorted(groups["build"])
    if sorted(project["build-system"]["requires"]) != build:
        raise SystemExit(
            "pyproject.toml: [build-system] requires and the dependency group `build` differ; make them equal."
        )
    dev = sorted([*runtime, *build, *groups["dev"]])
    return {"runtime": runtime, "build": build, "dev": dev, "pip": sorted(groups["pip"])}


def digest(wanted: list[str]) -> str:
    """A name for a list of requirements."""
    return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]


def disagreements() -> list[str]:
    """Where the locks and pyproject.toml do not agree, as sentences."""
    problems: list[str] = []
    versions: dict[str, tuple[str, str]] = {}
    for name, wanted in tables().items():
        path = LOCKS / f"{name}.lock"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        where = f"requirements/{name}.lock"
        if f"{STAMP}{digest(wanted)}\n" not in text:
            problems.append(f"{where} was compiled from other dependencies than pyproject.toml has. Run `make lock`.")
        if "--hash=sha256:" not in text:
            problems.append(f"{where} has no hashes. Run `make lock`.")
        if "://" in text or "--index-url" in text:
            problems.append(f"{where} names a package index or an address; that is the reader's to configure.")
        pinned = dict(PINNED.findall(text))
        names = {canonical(package) for package in pinned}
        problems += [f"{where} lacks {each}. Run `make lock`." for each in wanted if wanted_name(each) not in names]
        for package, version in pinned.items():
            other, of = versions.setdefault(package, (version, where))
            if other != version:
                problems.append(f"{where} has {package} {version}, and {of} has {other}. Run `make lock`.")
    return problems


def wanted_name(requirement: str) -> str:
    """The package that a requirement is about."""
    return canonical(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compile_all(*, upgrade: bool) -> None:
    """Write every lock."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not installed here. Run `make lock`, which installs it into .venv first.")
    LOCKS.mkdir(exist_ok=True)
    for name, options in ALL.items():
        sources = ["pyproject.toml"] if name in OWN else []
        _compile(uv, name, [*sources, *options], upgrade=upgrade)


def _compile(uv: str, name: str, sources: list[str], *, upgrade: bool) -> None:
    target = LOCKS / f"{name}.lock"
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / target.name
        if target.exists() and not upgrade:
            # uv keeps the versions that an output file has.
            draft.write_bytes(target.read_bytes())
        command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header", "-o", str(draft)]
        subprocess.run(
            [*command, *(["--upgrade"] if upgrade else []), *sources], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        pins = draft.read_text(encoding="utf-8")
    head = f"# Written by `make lock`; do not edit.\n{STAMP}{digest(tables()[name])}\n"
    target.write_text(head + pins, encoding="utf-8")
    print(f"wrote requirements/{name}.lock: {len(PINNED.findall(pins))} packages")


if __name__ == "__main__":
    raise SystemExit(main())
