"""Fetching one http(s) URL that a client named, without being led where the client may not go.

The host is resolved first, every address is judged, and the connection goes to the judged address itself, so a name
that changes its answer between the check and the connection gains nothing. Redirects are followed by hand through the
same door. One deadline covers everything: resolving, connecting, every hop and the body.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from upright import __version__
from upright.chat.errors import BadRequest

if TYPE_CHECKING:
    import httpx

MOST_REDIRECTS = 5
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how IPv6-only networks reach IPv4 (RFC 6052)
REDIRECTS = {301, 302, 303, 307, 308}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class FetchLimits:
    max_bytes: int
    timeout: float  # seconds for the whole of it
    allow_private: bool


async def fetch(url: str, limits: FetchLimits, param: str) -> bytes:
    """The body behind `url`. Raises: BadRequest when it is refused, fails, is too large or takes too long."""
    try:
        async with asyncio.timeout(limits.timeout):
            return await _follow(url, limits, param)
    except TimeoutError as error:
        raise BadRequest(
            f"fetching {shown(url)} took more than {limits.timeout:g} s; send the image as a data: URL instead",
            param,
            "media_timeout",
        ) from error


async def _follow(url: str, limits: FetchLimits, param: str) -> bytes:
    import httpx

    async with httpx.AsyncClient(trust_env=False, verify=_tls(), timeout=None) as client:
        for _ in range(MOST_REDIRECTS + 1):
            target = _split(url, param)
            address = await _judged_address(target, limits, param)
            request = _request(client, target, address)
            try:
                response = await client.send(request, stream=True)
                try:
                    if response.status_code in REDIRECTS and "location" in response.headers:
                        url = urljoin(url, response.headers["location"])
                        continue
                    return await _body(response, url, limits, param)
                finally:
                    await response.aclose()
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                reason = str(error) or type(error).__name__
                raise BadRequest(f"cannot fetch {shown(url)}: {reason}", param, "media_unreachable") from error
    raise BadRequest(f"{shown(url)}: more than {MOST_REDIRECTS} redirects", param, "media_unreachable")


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _split(url: str, param: str) -> SplitResult:
    try:
        target = urlsplit(url)
        if target.scheme in ("http", "https") and target.hostname and target.port != 0:
            return target
    except ValueError as error:
        raise BadRequest(f"{shown(url)} is not a valid URL: {error}", param) from error
    raise BadRequest(f"{shown(url)} is not an http(s) URL with a host", param)


async def _judged_address(target: SplitResult, limits: FetchLimits, param: str) -> Address:
    """The address to connect to. One forbidden address among several refuses the host."""
    host = target.hostname or ""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, _port(target), type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    except (OSError, UnicodeError, ValueError) as error:
        raise BadRequest(f"cannot resolve the host {host[:255]!r}: {error}", param, "media_unreachable") from error
    if not limits.allow_private:
        for address in addresses:
            if not is_public(address):
                raise BadRequest(
                    f"{host[:255]!r} leads to {address}, which is not a public address; the server fetches from such "
                    "addresses only when it was started with --allow-private-media",
                    param,
                    "media_forbidden",
                )
    return addresses[0]


def is_public(address: Address) -> bool:
    """Whether an address is somewhere on the open internet. IPv4 inside IPv6 is judged as the IPv4 that it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        tunnelled = [address.sixtofour, *(address.teredo or ())]
        if any(part is not None and not is_public(part) for part in tunnelled):
            return False
    return address.is_global and not (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )


def _port(target: SplitResult) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _request(client: httpx.AsyncClient, target: SplitResult, address: Address) -> httpx.Request:
    """A request to the judged address that still speaks to the host by its name, in `Host` and in TLS."""
    literal = f"[{address}]" if address.version == 6 else str(address)
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    host = target.netloc.rpartition("@")[2]
    return client.build_request(
        "GET",
        f"{target.scheme}://{literal}:{_port(target)}{path}",
        headers={
            "host": host,
            "user-agent": f"upright/{__version__}",
            "accept": "image/*",
            "accept-encoding": "identity",
        },
        extensions={"sni_hostname": target.hostname} if target.scheme == "https" else {},
    )


async def _body(response: httpx.Response, url: str, limits: FetchLimits, param: str) -> bytes:
    if response.status_code != 200:
        raise BadRequest(f"{shown(url)} answers with status {response.status_code}", param, "media_unreachable")
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.max_bytes:
        raise too_large(int(length), limits.max_bytes, param)
    body = bytearray()
    async for chunk in response.aiter_raw(65536):
        body += chunk
        if len(body) > limits.max_bytes:
            raise too_large(None, limits.max_bytes, param)
    return bytes(body)


def too_large(size: int | None, limit: int, param: str) -> BadRequest:
    found = f"has {size:,} bytes" if size is not None else "goes on"
    return BadRequest(
        f"the image file {found}, past the limit of {limit:,} bytes (--max-media-bytes)", param, "media_too_large"
    )


def shown(url: str) -> str:
    """A URL fit for a message: short, and without a password."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    clean = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    return clean if len(clean) <= 200 else clean[:200] + "…"
