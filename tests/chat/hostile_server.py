"""An http server that does what servers of images should not."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field


@dataclass
class HostileServer:
    """Answers by path: /ok, /hang, /drip, /endless, /big, /broken, /missing, /loop, /to?URL."""

    body: bytes = b"an image"
    paths: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self._closing.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                lines = connection.recv(65536).decode("latin-1").split("\r\n")
                path = lines[0].split(" ")[1]
                self.paths.append(path)
                self.hosts += [line[6:] for line in lines if line.lower().startswith("host: ")]
                self._serve(connection, path)
            except OSError:
                return  # the client has had enough, as it should

    def _serve(self, connection: socket.socket, path: str) -> None:
        def send(status: str, *headers: str, body: bytes = b"") -> None:
            connection.sendall("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body)

        if path == "/ok":
            send("200 OK", f"Content-Length: {len(self.body)}", body=self.body)
        elif path == "/hang":
            self._closing.wait(60)
        elif path == "/drip":
            send("200 OK", "Content-Length: 1000")
            while not self._closing.wait(0.05):
                connection.sendall(b"x")
        elif path == "/endless":
            send("200 OK")
            while not self._closing.is_set():
                connection.sendall(b"x" * 65536)
        elif path == "/big":
            send("200 OK", "Content-Length: 99999999999")
        elif path == "/broken":
            send("200 OK", "Content-Length: 1000", body=b"x")
        elif path == "/loop":
            send("302 Found", "Location: /loop", "Content-Length: 0")
        elif path.startswith("/to?"):
            send("302 Found", f"Location: {path[4:]}", "Content-Length: 0")
        else:
            send("404 Not Found", "Content-Length: 0")
