"""Taking the port before anything is loaded, and saying what to do where it cannot be had."""

from __future__ import annotations

import errno
import socket

from upright.cli.complaint import CannotServe
from upright.logs import few


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises: CannotServe."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # only this tells that another server has the port
    except OSError as error:
        raise CannotServe(_why_not(host, port, error)) from error
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use{_holder(port)}; choose another with --port, or stop what listens there"
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port} of {host}: {error.strerror}; choose a --port from 1024 on"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host}: this machine does not have that address; {_what_it_has()}"
    if isinstance(error, socket.gaierror):
        return f"cannot listen on {host}: that is no address and no name of one ({error.strerror}); {_what_it_has()}"
    return f"cannot listen on {host}, port {port}: {error}; {_what_it_has()}"


def _what_it_has() -> str:
    """What may be given instead."""
    import psutil

    inet = (socket.AF_INET, socket.AF_INET6)
    known = [one.address for found in psutil.net_if_addrs().values() for one in found if one.family in inet]
    return f"give --host 0.0.0.0 for all addresses of this machine, or one of them: {few(known)}"


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may see: ` by process 4711 (upright serve …)`."""
    import psutil

    try:
        listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        process = next(psutil.Process(one.pid) for one in listening if one.laddr.port == port and one.pid)
        return f" by process {process.pid} ({' '.join(process.cmdline())[:100]})"
    except (StopIteration, psutil.Error):
        return ""
