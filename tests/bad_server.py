"""A web server on this machine that misbehaves as it is told, one request after the other."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; a behaviour answers it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        script = self.server.scripts[name]
        count = sum(path.rsplit("/", 1)[-1] == name for path, _ in self.server.seen)
        self.server.seen.append((self.path, dict(self.headers)))
        self.close_connection = True
        # The last behaviour of a script answers all further requests.
        script[min(count, len(script) - 1)](self)

    def log_message(self, *_) -> None:
        pass

    def head(self, status: int, **headers: str | int) -> None:
        """Status line and headers, underscores of their names as hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def asked_from(self) -> int:
        """Where the asked range begins, 0 without one."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))


class BadServer(ThreadingHTTPServer):
    """Behaviours by file name, and what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.scripts: dict[str, list[Behaviour]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []

    def handle_error(self, *_) -> None:  # the client hung up, as it often should
        pass

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, name: str, *script: Behaviour) -> str:
        """The address of a file that is answered by these behaviours, in turn."""
        self.scripts[name] = list(script)
        return f"{self.root}/{name}"

    def ranges(self) -> list[str | None]:
        """The `Range` header of each request so far."""
        return [headers.get("Range") for _, headers in self.seen]


@contextmanager
def bad_server() -> Iterator[BadServer]:
    server = BadServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- behaviours ----------------------------------------------------------------------------------


def good(content: bytes, tag: str = '"1"') -> Behaviour:
    """As a server should: ranges, and the whole file if it is another one by now."""

    def answer(request: Request) -> None:
        start = request.asked_from()
        if start and request.headers.get("If-Range", tag) == tag:
            where = f"bytes {start}-{len(content) - 1}/{len(content)}"
            rest = content[start:]
            request.head(206, ETag=tag, Content_Length=len(rest), Content_Range=where)
            request.wfile.write(rest)
        else:
            request.head(200, ETag=tag, Content_Length=len(content))
            request.wfile.write(content)

    return answer


def no_ranges(content: bytes) -> Behaviour:
    """Sends the whole file, whatever part was asked for."""

    def answer(request: Request) -> None:
        request.head(200, Content_Length=len(content))
        request.wfile.write(content)

    return answer


def no_length(content: bytes, **headers: str) -> Behaviour:
    """Does not say how long the file is."""

    def answer(request: Request) -> None:
        request.head(200, **headers)
        request.wfile.write(content)

    return answer


def chunked(content: bytes) -> Behaviour:
    """Sends the file in pieces, each with its length."""

    def answer(request: Request) -> None:
        request.head(200, Transfer_Encoding="chunked")
        for start in range(0, len(content), 5000):
            piece = content[start : start + 5000]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    return answer


def cut_off(content: bytes, after: int, tag: str = '"1"', reset: bool = False) -> Behaviour:
    """Promises the (rest of the) file and hangs up after some bytes of it."""

    def answer(request: Request) -> None:
        start = request.asked_from()
        if start and request.headers.get("If-Range", tag) == tag:
            where = f"bytes {start}-{len(content) - 1}/{len(content)}"
            length = len(content) - start
            request.head(206, ETag=tag, Content_Length=length, Content_Range=where)
        else:
            start = 0
            request.head(200, ETag=tag, Content_Length=len(content))
        request.wfile.write(content[start : start + after])
        request.wfile.flush()
        if reset:
            time.sleep(0.05)  # a reset throws away what has not been read
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()

    return answer


def silent(content: bytes, after: int, seconds: float = 3.0) -> Behaviour:
    """Sends some bytes and then nothing more, with the line open."""

    def answer(request: Request) -> None:
        request.head(200, Content_Length=len(content))
        request.wfile.write(content[:after])
        request.wfile.flush()
        time.sleep(seconds)

    return answer


def drip(content: bytes, pause: float = 0.02) -> Behaviour:
    """Sends one byte after the other, and gives up in the end."""

    def answer(request: Request) -> None:
        request.head(200, Content_Length=len(content))
        for byte in content[:300]:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(pause)

    return answer


def endless(start: bytes) -> Behaviour:
    """Never ends, and does not say so."""

    def answer(request: Request) -> None:
        request.head(200)
        request.wfile.write(start)
        while True:
            request.wfile.write(b"\0" * 65536)

    return answer


def wrong_range(content: bytes) -> Behaviour:
    """Asked for the rest, sends another part."""

    def answer(request: Request) -> None:
        if not request.asked_from():
            return no_ranges(content)(request)
        where = f"bytes 10-{len(content) - 1}/{len(content)}"
        request.head(206, Content_Length=len(content) - 10, Content_Range=where)
        request.wfile.write(content[10:])

    return answer


def no_such_range(content: bytes) -> Behaviour:
    """Refuses every range (416)."""

    def answer(request: Request) -> None:
        if not request.asked_from():
            return no_ranges(content)(request)
        request.head(416, Content_Length=0)

    return answer


def status(code: int, **headers: str) -> Behaviour:
    """An empty answer."""
    return lambda request: request.head(code, Content_Length=0, **headers)


def nonsense(request: Request) -> None:
    """No HTTP at all."""
    request.wfile.write(b"\x00\x01\x02 hello\r\n\r\n")
