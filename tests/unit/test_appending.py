"""This module is where writes at the end of the journal's file are held to be whole, true to errors, and polite."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aicore_obs.pipeline.appending import Appender, held_write

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no write that keeps the lock")
READER = "import os, sys; left = int(sys.argv[1])\nwhile left: left -= len(os.read(0, left))"


def test_what_is_appended_is_in_the_file(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    appender = Appender()
    appender.append(fd, b"one\0\n", 0)
    appender.append(fd, b"two\n", 5)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"one\0\ntwo\n"


def test_an_error_is_the_operating_systems_own() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        Appender().append(reading, b"x", 0)
    os.close(reading)
    assert caught.value.errno == errno.EBADF


@POSIX_ONLY
def test_posix_has_a_write_that_keeps_the_lock() -> None:
    assert held_write() is not None


@POSIX_ONLY
def test_after_a_slow_write_others_may_run_during_the_next() -> None:
    """Who reads the second is a thread of this process: with the lock held, the write would wait for itself."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    full = 0
    while True:
        try:
            full += os.write(writing, bytes(4_096))
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    appender = Appender()
    # Slow for sure: it waits until a new interpreter has begun and read.
    with subprocess.Popen([sys.executable, "-c", READER, str(4_096)], stdin=reading) as process:
        appender.append(writing, bytes(4_096), 0)
        assert process.wait(60) == 0
    reader = threading.Thread(target=lambda: os.read(reading, 4_096))
    reader.start()
    appender.append(writing, bytes(4_096), 0)
    reader.join(60)
    os.close(writing)
    os.close(reading)
    assert not reader.is_alive()
