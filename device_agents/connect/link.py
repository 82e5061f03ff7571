"""Opening SSH connections: the socket's options, host keys, keys, jump hosts, and what each failure is called."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from device_agents.connect.hosts import check, pinned
from device_agents.connect.route import Hop, route
from device_agents.errors import AuthenticationFailed, DeviceUnreachable

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry

TIMEOUT_S = 15.0
KEEPALIVE_S = 5
USER_TIMEOUT_S = 20.0
# What paramiko logs, tracebacks and all, it raises as well: without a listener it would go to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CHECK_DEVICE = "check that the device is on and reachable: ping, ssh; then address and port in farm.toml"


def tuned(sock: socket.socket) -> socket.socket:
    """No Nagle (40 ms a round trip), and a link that died silently is noticed by the kernel."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(USER_TIMEOUT_S * 1000))
    return sock


def _socket(hop: Hop, name: str) -> socket.socket:
    try:
        return tuned(socket.create_connection((hop.host, hop.port), timeout=TIMEOUT_S))
    except socket.gaierror as error:
        raise DeviceUnreachable(
            f"The address of {name} can't be resolved: {error.strerror or error}", where=str(hop), remedy=_CHECK_DEVICE
        ) from error
    except ConnectionRefusedError as error:
        raise DeviceUnreachable(
            f"{name} refuses connections: nothing listens on that port.", where=str(hop), remedy=_CHECK_DEVICE
        ) from error
    except TimeoutError as error:
        raise DeviceUnreachable(
            f"{name} doesn't answer within {TIMEOUT_S:.0f} s.", where=str(hop), remedy=_CHECK_DEVICE
        ) from error
    except (OSError, UnicodeError) as error:
        raise DeviceUnreachable(
            f"{name} can't be reached: {getattr(error, 'strerror', None) or error}",
            where=str(hop),
            remedy=_CHECK_DEVICE,
        ) from error


def _through(client: Any, hop: Hop, name: str) -> Any:
    """A channel from the jump host that `client` is connected to on to `hop`."""
    import paramiko

    try:
        return client.get_transport().open_channel(
            "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=TIMEOUT_S
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise DeviceUnreachable(
            f"{name} can't be reached from its jump host: {error}", where=str(hop), remedy=_CHECK_DEVICE
        ) from error


def handshake(sock: Any, hop: Hop, name: str, prefer: str = "") -> Any:
    """A transport that has agreed on keys with a server whose host key is still to be checked. prefer: its type."""
    import paramiko

    transport = paramiko.Transport(sock)
    transport.banner_timeout = TIMEOUT_S
    transport.auth_timeout = TIMEOUT_S
    options = transport.get_security_options()
    # AES-GCM first: one pass over the data instead of two.
    options.ciphers = sorted(options.ciphers, key=lambda cipher: "aes128-gcm" not in cipher)
    wanted = ("rsa-sha2-512", "rsa-sha2-256") if prefer == "ssh-rsa" else (prefer,)
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in wanted)
    try:
        transport.start_client(timeout=TIMEOUT_S)
        transport.get_remote_server_key()  # start_client ends without a word where its time is over
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise DeviceUnreachable(
            f"{name} doesn't answer as an SSH server: {error or type(error).__name__}",
            where=str(hop),
            remedy=_CHECK_DEVICE,
        ) from error
    transport.set_keepalive(KEEPALIVE_S)
    return transport


def _log_in(transport: Any, hop: Hop, name: str) -> Any:
    """A client on a transport whose host key was checked."""
    import paramiko

    client = paramiko.SSHClient()
    client._transport = transport
    try:
        # SSHClient has the order in which keys are tried, but offers it only together with its own way of connecting.
        client._auth(hop.user, None, None, [str(path) for path in hop.keys], not hop.only_these, not hop.keys, None)
    except paramiko.PasswordRequiredException as error:
        raise AuthenticationFailed(
            f"The key for {name} is protected by a passphrase.",
            where=f"{hop}: {', '.join(map(str, hop.keys))}",
            remedy="ssh-add the key, and leave `key` out of farm.toml so that the agent's keys are used",
        ) from error
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        # paramiko calls a link that breaks, or falls silent, in the middle of it a refusal too.
        if not transport.is_active() or str(error) == "Authentication timeout.":
            raise DeviceUnreachable(
                f"{name} closed the connection, or said no more, while we logged in: {error or type(error).__name__}",
                where=str(hop),
                remedy=_CHECK_DEVICE,
            ) from error
        raise _refused(hop, name, error) from error
    return client


def _refused(hop: Hop, name: str, error: Exception) -> AuthenticationFailed:
    tried = ", ".join(str(path) for path in hop.keys) or "the SSH agent's keys and ~/.ssh/id_*"
    return AuthenticationFailed(
        f"{name} refuses to let {hop.user} in: {' '.join(str(error).split())}",
        where=f"{hop}, with {tried}",
        remedy=f"ssh-copy-id -p {hop.port} {hop.user}@{hop.host}, or correct user and key in farm.toml",
    )


class Link:
    """The chain of connections to a device; `transport` is the last one."""

    def __init__(self, entry: DeviceEntry) -> None:
        """Raises DeviceUnreachable, UnknownHostKey, HostKeyChanged, AuthenticationFailed."""
        self._clients: list[Any] = []
        # Kept beside the client, which forgets it when closed: whether it lives is asked after that too.
        self.transport: Any = None
        self.hop = Hop("", 22, "", "")
        try:
            hops = route(entry)
            for hop in hops:
                name = entry.name if hop is hops[-1] else f"the jump host {hop.host} of {entry.name}"
                self._join(entry, hop, name)
        except BaseException:
            self.close()
            raise

    def _join(self, entry: DeviceEntry, hop: Hop, name: str) -> None:
        sock = _through(self._clients[-1], hop, name) if self._clients else _socket(hop, name)
        known, _ = pinned(entry, hop)
        transport = handshake(sock, hop, name, prefer=next(iter(known), ""))
        try:
            check(entry, hop, transport.get_remote_server_key())
            self._clients.append(_log_in(transport, hop, name))
        except BaseException:
            transport.close()
            raise
        self.hop, self.transport = hop, transport

    def close(self) -> None:
        """Ends all of it, the device first. Works from any thread, also while another one is stuck in a transfer."""
        for client in reversed(self._clients):
            with suppress(Exception):  # a link that is broken already may object in many ways
                client.close()


def first_untrusted(entry: DeviceEntry) -> tuple[Hop, Any, dict[str, Any]] | None:
    """(hop, key shown, {type: pinned key}) of the first hop whose key isn't the pinned one; None where all are.

    Nobody is logged in to but jump hosts that are trusted already. Raises DeviceUnreachable, AuthenticationFailed.
    """
    clients: list[Any] = []
    try:
        hops = route(entry)
        for hop in hops:
            sock = _through(clients[-1], hop, str(hop)) if clients else _socket(hop, str(hop))
            known, _ = pinned(entry, hop)
            transport = handshake(sock, hop, str(hop), prefer=next(iter(known), ""))
            shown = transport.get_remote_server_key()
            if known.get(shown.get_name()) != shown:
                transport.close()
                return hop, shown, known
            if hop is hops[-1]:
                transport.close()
                return None
            clients.append(_log_in(transport, hop, str(hop)))
        return None
    finally:
        for client in reversed(clients):
            client.close()
