"""This module is where PgBouncer is run between the tests and their PostgreSQL, where it is on PATH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.faults.law import wait_until
from tests.postgres import PASSWORD, SUPERUSER, PostgresServer

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
"""


def find_pooler() -> str | None:
    """Return the path of the program, None where there is none."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class Pooler:
    """PgBouncer in transaction mode before one server."""

    def __init__(self, program: str, server: PostgresServer, folder: Path) -> None:
        self._program = program
        self._server = server
        self._folder = folder
        self.port = _free_port()

    def url_of(self, database: str) -> str:
        """Return the URL of a database through the pooler."""
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        users, settings = self._folder / "users", self._folder / "settings"
        users.write_text(f'"{SUPERUSER}" "{PASSWORD}"\n')
        settings.write_text(_SETTINGS.format(server_port=self._server.port, port=self.port, users=users))
        # As PostgreSQL, it refuses to run as root, and the account needs to get at its two files.
        account = ("-u", "nobody") if os.geteuid() == 0 else ()
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            [self._program, *account, settings], stdout=self._log, stderr=self._log, env={**os.environ}
        )
        wait_until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(90)
        self._log.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
