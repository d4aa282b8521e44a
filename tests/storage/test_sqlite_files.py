"""What lies at a path: what is not ours is refused in words that help, and left byte for byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.storage.appends import first, then

from makegood.errors import ConfigurationError, StorageCorrupt, StorageError, StorageUnavailable, StorageVersion
from makegood.ports import Query
from makegood.storage import MemoryStore, migrate, open_store, sqlite_path
from makegood.storage.sqlite import SqliteStore, files, lock_holder, reader
from makegood.storage.sqlite.files import MIGRATIONS, SCHEMA, SqliteSchema

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


def foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA application_id = 77; CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    connection.close()


def newer(path: Path) -> None:
    SqliteStore.open(str(path)).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", SCHEMA + 1)
    connection.close()


def older(path: Path) -> None:
    SqliteStore.open(str(path)).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", SCHEMA - 1)
    connection.close()


def torn(path: Path) -> None:
    SqliteStore.open(str(path)).close()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 2048] = os.urandom(2048)
    path.write_bytes(content)


def cut(path: Path) -> None:
    SqliteStore.open(str(path)).close()
    path.write_bytes(path.read_bytes()[:-8192])


BAD: dict[str, tuple[Callable[[Path], Any], type[StorageError], str]] = {
    "no database": (lambda path: path.write_text("hello " * 50), StorageCorrupt, "no SQLite database"),
    "a short file": (lambda path: path.write_text("x"), StorageCorrupt, "no SQLite database"),
    "an empty file": (lambda path: path.touch(), StorageCorrupt, "empty .* Restore a backup, or delete it"),
    "another program's": (foreign, StorageCorrupt, "another program .* choose another path"),
    "a newer schema": (newer, StorageVersion, "newer .* Upgrade makegood"),
    "an older schema": (older, StorageVersion, "makegood db upgrade"),
    "a damaged page": (torn, StorageCorrupt, "damaged|restore a backup"),
    "a cut file": (cut, StorageCorrupt, "damaged|restore a backup"),
}


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_ours_is_refused_and_left_alone(tmp_path: Path, name: str, exclusive: bool) -> None:
    make, error, words = BAD[name]
    path = tmp_path / "makegood.db"
    make(path)
    before = path.read_bytes()

    with pytest.raises(error, match=words) as caught:
        SqliteStore.open(str(path), exclusive=exclusive)

    assert path.read_bytes() == before
    assert str(path) in str(caught.value)
    assert lock_holder(str(path)) is None


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_folder_a_missing_folder_and_a_device_are_refused(tmp_path: Path, exclusive: bool) -> None:
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "x.db", "there is no folder"),
        (Path("/dev/null"), "no regular file"),
    ):
        with pytest.raises(StorageUnavailable, match=words):
            SqliteStore.open(str(path), exclusive=exclusive)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="there is no database"):
        SqliteStore.open(str(tmp_path / "x.db"), exclusive=False)
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_its_database_is_not_built_upon(tmp_path: Path) -> None:
    (tmp_path / "x.db-wal").write_bytes(b"commits")

    with pytest.raises(StorageCorrupt, match=r"x\.db is missing"):
        SqliteStore.open(str(tmp_path / "x.db"))

    assert [each.name for each in tmp_path.iterdir()] == ["x.db-wal"]


def test_what_a_killed_creation_left_is_swept_away(path: str) -> None:
    Path(path + ".new").write_text("half a database")

    SqliteStore.open(path).close()

    assert not os.path.exists(path + ".new")


async def test_a_database_beyond_the_checked_size_opens_and_damage_is_met_where_it_lies(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn(Path(path))
    monkeypatch.setattr(files, "_CHECKED_BYTES", 0)

    async def use() -> None:
        store = SqliteStore.open(path)
        try:
            await store.query(Query())
            await store.append([first("a")])
        finally:
            store.close()

    with pytest.raises(StorageCorrupt, match="restore a backup"):
        await use()


AS_NOBODY = """
import os, sys
from makegood.storage.sqlite import SqliteStore
os.setgid(65534); os.setuid(65534)
for exclusive in (True, False):
    try:
        store = SqliteStore.open(sys.argv[1], exclusive=exclusive)
        print("opened", flush=True)
        store.close()
    except Exception as error:
        print(type(error).__name__, str(error).replace("\\n", " "), flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "engine", "reader"),
    [
        (0o444, 0o777, "is read-only", "opened"),
        (0o644, 0o755, "lock file", "opened"),
        (0o600, 0o755, "cannot be read", "cannot be read"),
    ],
)
def test_what_cannot_be_written_can_still_be_read(
    process: Start, file_mode: int, folder_mode: int, engine: str, reader: str
) -> None:
    # Not below pytest's folder, which other users may not enter.
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/makegood-XXXXXX"], text=True).strip())
    path = folder / "x.db"
    try:
        SqliteStore.open(str(path)).close()
        (folder / "x.db.lock").unlink()
        before = path.read_bytes()
        path.chmod(file_mode)
        folder.chmod(folder_mode)

        lines = process(AS_NOBODY, str(path)).communicate()[0].splitlines()

        assert engine in lines[0]
        assert reader in lines[1]
        assert path.read_bytes() == before
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)


# --- schema ------------------------------------------------------------------------------------


def test_an_older_schema_is_upgraded_on_request(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteStore.open(path).close()
    added = migrate.Migration(
        SCHEMA + 1, "add_mood", "ALTER TABLE execution ADD COLUMN mood TEXT; CREATE INDEX m ON execution (mood);"
    )
    monkeypatch.setattr(files, "MIGRATIONS", (*MIGRATIONS, added))
    monkeypatch.setattr(files, "SCHEMA", SCHEMA + 1)

    with pytest.raises(StorageVersion, match="db upgrade"):
        SqliteStore.open(path)
    assert SqliteStore.upgrade(path) == [f"{SCHEMA + 1:04} add_mood"]
    assert SqliteStore.upgrade(path) == []

    SqliteStore.open(path).close()


def test_search_attributes_of_an_older_database_are_found(path: str) -> None:
    connection = apsw.Connection(path)
    connection.pragma("application_id", files.APPLICATION_ID)
    migrate.upgrade(SqliteSchema(connection), MIGRATIONS[:1], path)
    connection.execute(
        """INSERT INTO execution (id, workflow, version, start_hash, started_at_ms, root, search, status, pivoted,
            parked, ended_at_ms, overdue) VALUES ('a', 'w', 1, 'h', 7, 'a', '{}', 'completed', 0, 0, 9, 0)"""
    )
    for name, value in (("city", '"Rome"'), ("nights", "7"), ("paid", "true"), ("odd", '"a\\u0000b"')):
        connection.execute("INSERT INTO search_attribute (execution_id, name, value) VALUES ('a', ?, ?)", (name, value))
    connection.close()

    assert "0003 requests" in SqliteStore.upgrade(path)

    connection = files.open_reading(path)
    for name, text in (("city", "Rome"), ("nights", "7"), ("paid", "true"), ("odd", "a\0b")):
        found = reader.query(connection, Query(search={name: text}))
        assert [each.execution_id for each in found] == ["a"], name
    connection.close()


def test_a_migration_that_fails_leaves_no_trace(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteStore.open(path).close()
    broken = migrate.Migration(SCHEMA + 1, "broken", "CREATE TABLE mood (x); CREATE TABLE mood (x);")
    monkeypatch.setattr(files, "MIGRATIONS", (*MIGRATIONS, broken))

    with pytest.raises(StorageError):
        SqliteStore.upgrade(path)

    connection = apsw.Connection(path)
    assert connection.pragma("user_version") == SCHEMA
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'mood'").get == 0
    connection.close()


def test_the_schema_itself_refuses_contradictions(path: str) -> None:
    connection = apsw.Connection(path)
    migrate.upgrade(SqliteSchema(connection), MIGRATIONS, path)
    insert = """INSERT INTO execution (id, workflow, version, start_hash, started_at_ms, business_key, held_key, root,
        search, status, pivoted, parked, ended_at_ms, overdue, owner)
        VALUES ('a', 'w', 1, 'h', 1, 'k', {held}, 'a', '{{}}', {rest})"""

    for held, rest in (
        ("NULL", "'lost', 0, 0, NULL, 0, 1"),
        ("NULL", "'completed', 0, 0, NULL, 0, 1"),
        ("NULL", "'running', 0, 0, 5, 0, NULL"),
        ("NULL", "'running', 0, 0, NULL, 0, NULL"),
        ("NULL", "'running', 0, 1, NULL, 0, 1"),
        ("NULL", "'completed', 0, 0, 5, 0, 1"),
        ("'k'", "'completed', 0, 0, 5, 0, NULL"),
        ("'other'", "'running', 0, 0, NULL, 0, 1"),
        ("NULL", "'running', 2, 0, NULL, 0, 1"),
        ("NULL", "'running', 0, 0, 'soon', 0, 1"),
    ):
        with pytest.raises(apsw.ConstraintError):
            connection.execute(insert.format(held=held, rest=rest))
    with pytest.raises(apsw.ConstraintError):
        connection.execute("INSERT INTO journal VALUES ('a', -1, '{}')")
    connection.execute(insert.format(held="'k'", rest="'running', 0, 0, NULL, 0, 1"))
    connection.close()


# --- the connection string ---------------------------------------------------------------------


async def test_a_connection_string_names_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for dsn, path in ((f"sqlite:///{tmp_path}/a.db", "a.db"), ("sqlite:///b.db", "b.db"), ("c.db", "c.db")):
        store = open_store(dsn)
        await store.append([first("a"), then("a", 1)])
        await store.aclose()
        assert (tmp_path / path).exists(), dsn
    assert isinstance(open_store(":memory:"), MemoryStore)
    assert sqlite_path("sqlite:////abs/x.db") == "/abs/x.db"


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgresql://user:secret@host/db?pgbouncer=perhaps", "pgbouncer=true or pgbouncer=false"),
        ("postgresql://user:secret@host/db?connect_timeout=soon", "no number of seconds"),
        ("mysql://x", "no storage of the kind 'mysql'"),
        ("sqlite://x.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("", "empty"),
    ],
)
def test_another_connection_string_is_refused_without_its_secrets(dsn: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        open_store(dsn)
    assert "secret" not in str(caught.value)


def test_apsw_is_imported_only_for_a_file(process: Start) -> None:
    code = "import sys, makegood.storage as s; s.open_store(':memory:'); print([m for m in sys.modules if 'apsw' in m])"

    assert process(code).communicate()[0].strip() == "[]"
