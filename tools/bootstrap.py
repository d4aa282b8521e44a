"""Make `.venv` and put this project into it: `python3 tools/bootstrap.py runtime|dev`.

Needs a Python, nothing else: the standard library of any Python from 3.7 on runs this file, which then looks for
one that is new enough. Packages come from whatever index pip is configured for, and nowhere else, with
the hashes of the lock files. A second run with the same locks does nothing.

Debian and Ubuntu ship Python without `ensurepip` and without pip. Then pip comes, in this order, from a
pip that some Python here has, from the wheel that the system keeps for virtual environments, from the
configured index (when one is configured), or, as root, from `apt-get install python3-venv`.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
OLDEST = (3, 11)
KNOWN = ("3.14", "3.13", "3.12", "3.11")
LOCKS = {"runtime": ("build", "runtime"), "dev": ("dev",)}
WHEELS = "/usr/share/python-wheels"
PIP_OLDEST = (22, 3)
"""The first pip that has `--python`, and so can install into an environment that has none itself."""


class Unable(Exception):
    """What is missing here, and what to do."""


def main(arguments: list[str]) -> int:
    """Bring the environment up to date; 1 with a message when that cannot be done here."""
    wanted = arguments[0] if arguments else "dev"
    if wanted not in LOCKS or len(arguments) > 1:
        say("usage: bootstrap.py runtime|dev")
        return 2
    try:
        if sys.version_info[:2] < OLDEST:
            return run_by(newer_python(), wanted)
        if not fresh(wanted):
            install(wanted)
    except Unable as error:
        say(str(error))
        return 1
    except subprocess.CalledProcessError as error:
        say("failed: " + " ".join(map(str, error.cmd)))
        return 1
    return 0


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


# --- which Python ------------------------------------------------------------------------------


def newer_python() -> str:
    """A Python that is new enough, somewhere on the PATH."""
    for version in KNOWN:
        found = shutil.which("python" + version)
        if found and answers(found, "import sys; raise SystemExit(sys.version_info[:2] < (3, 11))"):
            return found
    raise Unable(
        f"makegood needs Python 3.11 or newer; this is {own_version()} ({sys.executable}), and there is\n"
        "no python3.11, python3.12, python3.13 or python3.14 on the PATH. Install one (on Ubuntu 22.04:\n"
        "`sudo apt-get install python3.11 python3.11-venv`), or name one: `make PYTHON=/path/to/python3.12 demo`."
    )


def own_version() -> str:
    """The version of the Python that runs this, as in `python3.11`."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def run_by(python: str, wanted: str) -> int:
    """The same again, by another Python."""
    return subprocess.call([python, os.path.abspath(__file__), wanted])


def answers(python: str, code: str) -> bool:
    """Whether a Python runs that code without complaint."""
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


# --- what is there already ---------------------------------------------------------------------


def stamp(name: str) -> str:
    """The file that says what was installed last."""
    return os.path.join(VENV, ".makegood-" + name)


def lock_file(name: str) -> str:
    """Where a lock is."""
    return os.path.join(ROOT, "requirements", f"{name}.lock")


def fingerprint(name: str) -> str:
    """What an environment depends on: where it lies, the locks, and what the project says of itself."""
    seen = hashlib.sha256(ROOT.encode())
    for lock in LOCKS[name]:
        seen.update(read(lock_file(lock)))
    seen.update(read(os.path.join(ROOT, "pyproject.toml")))
    return seen.hexdigest()


def read(path: str) -> bytes:
    """The bytes of a file; none when there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def fresh(wanted: str) -> bool:
    """Whether nothing is to be done. Who has everything for development has all to run it too."""
    names = {"runtime": ("runtime", "dev"), "dev": ("dev",)}[wanted]
    known = any(read(stamp(name)).decode() == fingerprint(name) for name in names)
    found = "from importlib.util import find_spec; raise SystemExit(not find_spec('makegood'))"
    return known and answers(PYTHON, found)


# --- installing --------------------------------------------------------------------------------


def install(wanted: str) -> None:
    """Make the environment and fill it."""
    pip = make_environment()
    for name in LOCKS:
        if os.path.exists(stamp(name)):
            os.remove(stamp(name))
    say(f"installing what requirements/ lists ({wanted})")
    for lock in LOCKS[wanted]:
        run([*pip, "install", "--quiet", "--require-hashes", "--no-deps", "-r", lock_file(lock)])
    run([*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT])
    with open(stamp(wanted), "w", encoding="utf-8") as file:
        file.write(fingerprint(wanted))


def run(command: list[str]) -> None:
    """Run a program, and let it speak for itself."""
    subprocess.run(command, check=True, env=environment())


def environment() -> dict[str, str]:
    """The environment's variables, without pip's notices; what is set by the user stays."""
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_INPUT": "1"}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "__PYVENV_LAUNCHER__")}
    return {**quiet, **kept, "VIRTUAL_ENV": VENV}


def make_environment() -> list[str]:
    """A virtual environment of a Python that is new enough, and the pip command that fills it."""
    usable = "import sys; raise SystemExit(sys.version_info[:2] < (3, 11) or sys.prefix == sys.base_prefix)"
    if not answers(PYTHON, usable):
        if os.path.isdir(VENV):
            shutil.rmtree(VENV)
        say(f"making .venv with Python {own_version()}")
        if not with_ensurepip():
            run([sys.executable, "-m", "venv", "--without-pip", VENV])
    if answers(PYTHON, "import pip"):
        return [PYTHON, "-m", "pip"]
    for source in (pip_of_others, wheel_of_the_system, wheel_of_the_index, venv_by_apt):
        pip = source()
        if pip:
            return pip
    raise Unable(
        f"This Python ({sys.executable}) has neither `ensurepip` nor pip. Install what Debian and Ubuntu put apart,\n"
        f"`sudo apt-get install python{own_version()}-venv` (or `python3-venv`), and run the same again."
    )


def with_ensurepip() -> bool:
    """Make the environment as Python itself does, if it has what that takes."""
    if not answers(sys.executable, "import ensurepip, venv; ensurepip.version()"):
        return False
    made = subprocess.run([sys.executable, "-m", "venv", VENV], stdout=subprocess.DEVNULL, check=False)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        return False
    return True


# --- pip, when Python has none -----------------------------------------------------------------


def pip_of_others() -> list[str] | None:
    """A pip that this or another Python here has."""
    names = ["python3", "python", *("python" + version for version in KNOWN)]
    pythons = [sys.executable, *(found for found in map(shutil.which, names) if found)]
    commands = [[python, "-m", "pip"] for python in dict.fromkeys(pythons)]
    commands += [[found] for found in map(shutil.which, ("pip3", "pip")) if found]
    for command in commands:
        if version_of(command) >= PIP_OLDEST:
            run(
                [
                    *command,
                    "--python",
                    PYTHON,
                    "install",
                    "--quiet",
                    "--require-hashes",
                    "--no-deps",
                    "-r",
                    lock_file("pip"),
                ]
            )
            return [PYTHON, "-m", "pip"]
    return None


def version_of(pip: list[str]) -> tuple[int, ...]:
    """The version of a pip; (0,) when there is none."""
    try:
        told = subprocess.run(
            [*pip, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        ).stdout
    except OSError:
        return (0,)
    found = re.match(rb"pip (\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else (0,)


def wheel_of_the_system() -> list[str] | None:
    """The wheel that Debian keeps for virtual environments. A wheel of pip runs as it is."""
    try:
        wheels = sorted(
            name for name in os.listdir(WHEELS) if re.fullmatch(r"pip-[0-9.]+-py[23.]+-none-any\.whl", name)
        )
    except OSError:
        return None
    return settle(os.path.join(WHEELS, wheels[-1])) if wheels else None


def settle(wheel: str) -> list[str]:
    """Install pip into the environment by its own wheel."""
    run([PYTHON, os.path.join(wheel, "pip"), "install", "--quiet", "--no-index", "--no-deps", wheel])
    return [PYTHON, "-m", "pip"]


def wheel_of_the_index() -> list[str] | None:
    """The wheel of pip that requirements/pip.lock names, from the index that pip is configured for."""
    index = configured_index()
    lock = read(lock_file("pip")).decode()
    pinned = re.search(r"^pip==(\S+)", lock, re.MULTILINE)
    if not index or not pinned:
        return None
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    name = f"pip-{pinned.group(1)}-py3-none-any.whl"
    try:
        content = fetched(index.rstrip("/") + "/pip/", name)
    except (OSError, ValueError) as error:
        say(f"the configured package index gave no pip: {error}")
        return None
    if content is None or hashlib.sha256(content).hexdigest() not in hashes:
        say(f"the configured package index has no {name} with the hash of requirements/pip.lock")
        return None
    with tempfile.TemporaryDirectory() as folder:
        wheel = os.path.join(folder, name)
        with open(wheel, "wb") as file:
            file.write(content)
        return settle(wheel)


def configured_index() -> str | None:
    """The index that a variable or a configuration file of pip names, if any; in pip's own order."""
    named = os.environ.get("PIP_INDEX_URL")
    if named:
        return named
    home = os.path.expanduser("~")
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", home + "/.pip/pip.conf"]
    files.append(os.path.join(os.environ.get("XDG_CONFIG_HOME") or home + "/.config", "pip", "pip.conf"))
    files.append(os.environ.get("PIP_CONFIG_FILE") or "")
    settings = configparser.RawConfigParser()
    settings.read([path for path in files if path], encoding="utf-8")
    for section in ("install", "global"):
        if settings.has_option(section, "index-url"):
            return settings.get(section, "index-url").strip()
    return None


def fetched(page: str, name: str) -> bytes | None:
    """A file of the page of links that an index has for a project; None when it is not there."""
    text = get(page).decode("utf-8", "replace")
    for link in re.findall(r'href="([^"]+)"', text):
        address = urllib.parse.urljoin(page, link.replace("&amp;", "&"))
        if urllib.parse.unquote(urllib.parse.urlsplit(address).path).rsplit("/", 1)[-1] == name:
            return get(address)
    return None


def get(address: str) -> bytes:
    """What an address answers; only the web's own schemes."""
    if not address.startswith(("https://", "http://")):
        raise ValueError(f"not an address of the web: {address}")
    with urllib.request.urlopen(address, timeout=60) as answer:
        content: bytes = answer.read(64 * 1024 * 1024)
        return content


def venv_by_apt() -> list[str] | None:
    """As root on Debian or Ubuntu: the package that makes `python -m venv` whole."""
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0 or sys.prefix != sys.base_prefix or not sys.executable.startswith("/usr/bin/"):
        return None
    package = f"python{own_version()}-venv"
    say(f"installing the system's package {package}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([apt, "update", "-qq"], env=quiet, stdout=subprocess.DEVNULL, check=False)
    command = [apt, "install", "-y", "-qq", "--no-install-recommends", package]
    if subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        return None
    shutil.rmtree(VENV, ignore_errors=True)
    return [PYTHON, "-m", "pip"] if with_ensurepip() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
