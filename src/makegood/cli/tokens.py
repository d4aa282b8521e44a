"""`makegood token`: the file of hashed tokens, written whole."""

from __future__ import annotations

import os

from makegood.api.tokens import ROLES, hashes, new_token, tokens_text
from makegood.app.config import load_config, tokens_path
from makegood.cli.failures import complain
from makegood.cli.output import print_json, write_file
from makegood.cli.showing import table
from makegood.errors import ConfigurationError, Conflict, NotFound, nearest

FILE = "tokens.toml"


def add(name: str, role: str, tokens_file: str | None, config: str | None, *, json: bool) -> None:
    """Make a token, keep its hash and print it.

    Raises:
        ConfigurationError: There is no such role, or the file cannot be used.
        Conflict: There is a token of that name.
    """
    if role not in ROLES:
        raise ConfigurationError(f"--role {role!r}: there is no such role.{nearest(role, ROLES)}")
    path = _path(tokens_file, config)
    kept = hashes(path) if os.path.lexists(path) else {}
    if name in kept:
        raise Conflict(f"{path} has a token {name!r} already. Remove it first, or use another name.", existing=name)
    token, told = new_token(name)
    fresh = not os.path.lexists(path)
    mask = os.umask(0o077) if fresh else None
    try:
        write_file(path, tokens_text({**kept, name: (role, told)}))
    finally:
        if mask is not None:
            os.umask(mask)
    if json:
        print_json({"name": name, "role": role, "token": token, "file": path})
        return
    complain(f"token {name} ({role}) is in {path} as a hash; this is the only time it is shown:")
    print(token)


def list_tokens(tokens_file: str | None, config: str | None, *, json: bool) -> None:
    """Print names and roles."""
    found = [{"name": name, "role": role} for name, (role, _) in hashes(_path(tokens_file, config)).items()]
    if json:
        print_json(found)
    else:
        table(("name", "role"), found)


def remove(name: str, tokens_file: str | None, config: str | None) -> None:
    """Take a token away.

    Raises:
        NotFound: There is none of that name.
    """
    path = _path(tokens_file, config)
    kept = hashes(path)
    if name not in kept:
        raise NotFound(f"{path} has no token {name!r}.{nearest(name, kept)}")
    write_file(path, tokens_text({each: value for each, value in kept.items() if each != name}))
    complain(f"token {name} is removed from {path}.")


def _path(tokens_file: str | None, config: str | None) -> str:
    return tokens_file or tokens_path(load_config(config)) or FILE
