"""This module is where a server stands in for a vendor's: it takes what is posted, counts the records in it, says yes.

``python -m benchmarks.peers.stub`` prints its port. It answers at once and from the same machine, which is kinder than
any network is.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.payload import answers_in, numbers_in

_numbers: set[int] = set()
_answers: set[int] = set()
_lock = threading.Lock()
_OPENERS = {"gzip": gzip.decompress, "deflate": zlib.decompress}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer; else the client waits for a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        opened = _OPENERS.get(self.headers.get("Content-Encoding") or "", bytes)(body)
        with _lock:
            _numbers.update(numbers_in(opened))
            _answers.update(answers_in(opened))
        kind = self.headers.get("Content-Type") or "application/json"
        self._answer(kind, b"" if "protobuf" in kind else b"{}")

    def do_GET(self) -> None:
        with _lock:
            counts = {"distinct": len(_numbers), "answers": len(_answers)}
        self._answer("application/json", json.dumps(counts).encode())

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's word
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
