"""Fetching what clients name: bounded in size, time and reach."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_server import HostileServer

from upright.chat import fetch as fetching
from upright.chat.errors import BadRequest
from upright.chat.fetch import FetchLimits, is_public
from upright.chat.media import MediaReader


@pytest.fixture
def hostile() -> Iterator[HostileServer]:
    server = HostileServer()
    yield server
    server.close()


def read(url: str, allow_private: bool = True, timeout: float = 20, root: Path | None = None) -> bytes:
    reader = MediaReader(FetchLimits(100_000, timeout, allow_private), root)
    return asyncio.run(reader.read(url, "here"))


def refusal(url: str, **options: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(url, **options)
    assert caught.value.param == "here"
    return caught.value


def test_a_fetch(hostile: HostileServer) -> None:
    assert read(hostile.url("/ok")) == b"an image"
    assert hostile.hosts == [f"127.0.0.1:{hostile.port}"]


def test_a_redirect_is_followed(hostile: HostileServer) -> None:
    assert read(hostile.url("/to?/ok")) == b"an image"
    assert read(hostile.url(f"/to?{hostile.url('/ok', 'localhost')}")) == b"an image"


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_server_that_takes_for_ever_is_cut(hostile: HostileServer, path: str) -> None:
    assert "more than 0.3 s" in refusal(hostile.url(path), timeout=0.3).message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/endless", "goes on, past the limit of 100,000 bytes"),
        ("/big", "99,999,999,999 bytes"),
        ("/broken", "cannot fetch"),
        ("/missing", "status 404"),
        ("/loop", "more than 5 redirects"),
        ("/to?ftp://x/y", "not an http(s) URL"),
        ("/to?file:///etc/passwd", "not an http(s) URL"),
    ],
)
def test_servers_that_misbehave(hostile: HostileServer, path: str, words: str) -> None:
    assert words in refusal(hostile.url(path)).message


def test_a_host_that_nobody_knows() -> None:
    assert "cannot resolve" in refusal("http://no-such-host.invalid/x").message


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "cannot fetch" in refusal(f"http://127.0.0.1:{port}/x").message


def test_a_password_is_not_repeated(hostile: HostileServer) -> None:
    message = refusal(f"http://user:secret@127.0.0.1:{hostile.port}/missing").message
    assert "secret" not in message


def test_loopback_is_refused_without_a_connection(hostile: HostileServer) -> None:
    error = refusal(hostile.url("/ok"), allow_private=False)
    assert error.code == "media_forbidden"
    assert not hostile.paths


def test_a_redirect_to_loopback_is_refused(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every hop is judged: here the first one passes because the test declares it public."""
    judged: list[str] = []

    def only_the_first(address: Any) -> bool:
        judged.append(str(address))
        return len(judged) == 1

    monkeypatch.setattr(fetching, "is_public", only_the_first)
    assert refusal(hostile.url(f"/to?{hostile.url('/ok')}"), allow_private=False).code == "media_forbidden"
    assert hostile.paths == [f"/to?{hostile.url('/ok')}"]


def test_the_connection_goes_to_the_judged_address(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once; a second answer, as a rebinding attack would give, is never asked for."""
    answers: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "rebinding.test":
            answers.append(host)
            return real("127.0.0.1", *arguments, **options)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert read(hostile.url("/ok", "rebinding.test")) == b"an image"
    assert answers == ["rebinding.test"]
    assert hostile.hosts == [f"rebinding.test:{hostile.port}"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_data_urls() -> None:
    encoded = base64.b64encode(b"bytes").decode()
    assert read(f"data:image/png;base64,{encoded}") == b"bytes"
    assert read(f"DATA:image/png;BASE64,{encoded.replace('=', '%3D')}") == b"bytes"
    assert read(f"data:image/png;base64,{encoded[:4]}\n {encoded[4:]}") == b"bytes"
    assert read("data:text/plain,a%20b") == b"a b"
    assert "broken base64" in refusal("data:image/png;base64,@@@@").message
    assert "150,000 bytes" in refusal("data:;base64," + base64.b64encode(b"x" * 150_000).decode()).message
    assert refusal("data:;base64," + "A" * 1_000_000).code == "media_too_large"


def test_local_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a b.png").write_bytes(b"inside")
    (root / "big.png").write_bytes(b"x" * 100_001)
    (tmp_path / "secret").write_bytes(b"outside")
    (root / "link").symlink_to(tmp_path / "secret")
    assert read(f"file://{root}/a%20b.png", root=root) == b"inside"
    assert refusal(f"file://{root}/a%20b.png").code == "media_forbidden"
    for outside in (f"{root}/../secret", f"{root}/link", "/etc/passwd", f"{root}/%2e%2e/secret"):
        assert refusal(f"file://{outside}", root=root).code == "media_forbidden"
    assert "cannot be read" in refusal(f"file://{root}/none", root=root).message
    assert "no regular file" in refusal(f"file://{root}", root=root).message
    assert "100,001 bytes" in refusal(f"file://{root}/big.png", root=root).message
    assert "names no host" in refusal("file://elsewhere/x", root=root).message
    assert "cannot be read" in refusal("file:///a%00b", root=root).message
