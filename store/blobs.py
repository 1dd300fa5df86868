"""Content-addressed files: a blob's name is the SHA-256 of its bytes, so it never changes and is stored once."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from core.errors import NotFound, Rejected


class Blobs:
    """The blobs under one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, content: bytes) -> str:
        """Store `content` durably and return its digest (64 hexadecimal digits)."""
        digest = sha256(content).hexdigest()
        path = self._path(digest)
        if path.exists():
            return digest
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written under another name and renamed when it is on disk: a name that exists always has its whole content.
        with NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except OSError:
                Path(file.name).unlink()
                raise
        for directory in (path.parent, self._directory):
            _sync_directory(directory)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes; raises NotFound, or Rejected where they no longer have that digest."""
        try:
            content = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no blob {digest}", code="blob-not-found") from None
        if sha256(content).hexdigest() != digest:
            raise Rejected(f"blob {digest} is damaged: its bytes have another digest")
        return content

    def holds(self, digest: str) -> bool:
        """Whether there is a blob of that digest."""
        return self._path(digest).exists()

    def remove(self, digest: str) -> None:
        """Delete a blob; nothing happens where there is none."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
