"""How a service is spoken to over TLS: whom to trust, and what to show. Nothing here opens a connection.

The context is built at first use, since loading a trust store takes tens of milliseconds, and again when
one of its files has changed.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from makegood.errors import ConfigurationError, nearest

_Stamp = tuple[tuple[int, int, int], ...]

REFUSALS = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
"""Alerts by which a server ends a handshake: nothing that was sent under it has been read.

With TLS 1.3 a client may send before the server has looked at its certificate, so that they come late."""


class TlsUnready(Exception):
    """A file of the service's TLS settings cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The `tls` of a service. Paths; the files are read at the first call.

    Attributes:
        ca: PEM file of the authorities to trust instead of the system's.
        certificate: PEM file of the client's certificate, with the chain behind it.
        key: PEM file of its key, unencrypted; None if it is in the same file.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            raise ConfigurationError("tls has a key and no certificate that it belongs to", at=("tls", "key"))


def tls_from(table: Mapping[str, str]) -> Tls:
    """The `tls` of a configuration.

    Raises:
        ConfigurationError: A key is unknown, or a value is no path.
    """
    known = [each.name for each in fields(Tls)]
    for name in table:
        if name not in known:
            raise ConfigurationError(f"tls has no key {name!r}.{nearest(str(name), known)}", at=("tls", str(name)))
        if not isinstance(table[name], str) or not table[name] or "\0" in table[name]:
            raise ConfigurationError(f"tls.{name} must be the path of a PEM file", at=("tls", name))
    return Tls(**table)


class Trust:
    """The context of one service's connections."""

    def __init__(self, tls: Tls | None) -> None:
        self._tls = tls or Tls()
        self._files = [each for each in (self._tls.ca, self._tls.certificate, self._tls.key) if each is not None]
        self._context: ssl.SSLContext | None = None
        self._stamp: _Stamp = ()

    def context(self) -> ssl.SSLContext:
        """Names are checked against certificates; at least TLS 1.2.

        Raises:
            TlsUnready: A file is missing or is not what it should be.
        """
        if not self._files:
            return _system()
        stamp = tuple(_stamp(each) for each in self._files)
        if self._context is None or stamp != self._stamp:
            self._context = self._built()
            self._stamp = stamp
        return self._context

    def _built(self) -> ssl.SSLContext:
        ca, certificate, key = self._tls.ca, self._tls.certificate, self._tls.key
        try:
            context = _made(ca)
        except (OSError, ValueError) as error:
            raise TlsUnready(f"tls.ca {ca!r} holds no certificates that can be read: {_reason(error)}") from None
        if certificate is not None:
            try:
                # An empty password, since OpenSSL would otherwise ask for one on the terminal.
                context.load_cert_chain(certificate, key, password="")
            except (OSError, ValueError) as error:
                named = f"tls.certificate {certificate!r}" + (f" and tls.key {key!r}" if key is not None else "")
                raise TlsUnready(f"{named} cannot be used: {_reason(error)}") from None
        return context


def _made(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def _system() -> ssl.SSLContext:
    """Of all services that trust the system's authorities and show nothing."""
    return _made(None)


def failure(error: ssl.SSLError) -> str:
    """Why TLS did not come about, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return f"TLS failed: {_reason(error)}"


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise TlsUnready(f"tls: the file {path!r} cannot be read: {_reason(error)}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
