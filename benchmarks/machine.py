"""This module is where the machine of a run is named, so that its figures mean something elsewhere."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psutil

_PACKAGES = ("aicore-obs", "msgspec", "anyio", "sqlalchemy", "aiosqlite", "asyncpg", "polars", "pydantic")


def machine() -> dict[str, str]:
    """Return what a reader must know of this machine, in words."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, temporary files on {_filesystem()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "packages": ", ".join(f"{name} {version}" for name in _PACKAGES if (version := version_of(name))),
        "day": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def load() -> float:
    """Return how many programs have wanted a core in the last minute; beside a benchmark it should be near zero."""
    return os.getloadavg()[0]


def version_of(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _filesystem() -> str:
    """Return the type of the file system that temporary files lie on."""
    folder = tempfile.gettempdir()
    mounts = [one for one in psutil.disk_partitions(all=True) if folder.startswith(one.mountpoint)]
    return max(mounts, key=lambda one: len(one.mountpoint)).fstype if mounts else "an unknown file system"
