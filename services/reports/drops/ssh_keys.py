"""SSH keys of drops: the one that we show, made here or brought, and those by which servers are known."""

import re
from base64 import b64decode
from collections.abc import Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

#: By what a key is bound to its drop in the vault.
SEALED_AS = "drop"
LEAST_RSA_BITS = 2_048
#: A server has one of each kind.
MOST_HOST_KEYS = 10
#: `ssh-ed25519 AAAA…`, as `ssh-keyscan` shows it behind the host.
_HOST_KEY = re.compile(
    r"(?P<kind>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) (?P<body>[A-Za-z0-9+/]{40,2000}={0,2})"
)
_Private = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class InvalidKey(ValueError):
    """Not a key that can be used. The message never shows it."""


def make() -> str:
    """A new private key (Ed25519), as OpenSSH writes it."""
    return _written(ed25519.Ed25519PrivateKey.generate())


def read(text: str) -> str:
    """A private key that somebody brings, as OpenSSH writes it. InvalidKey."""
    raw = text.strip().encode("utf-8", "replace") + b"\n"
    load = load_ssh_private_key if b"OPENSSH" in raw else load_pem_private_key
    try:
        key = load(raw, password=None)
    except TypeError:
        raise InvalidKey("it is locked with a passphrase: bring one without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidKey("not a private key of OpenSSH, or in PEM") from None
    if not isinstance(key, _Private):
        raise InvalidKey("neither Ed25519, nor ECDSA, nor RSA")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEAST_RSA_BITS:
        raise InvalidKey(f"an RSA key has {LEAST_RSA_BITS} bits or more")
    return _written(key)


def public(private: str) -> str:
    """Its public half, as a line of `authorized_keys`."""
    key = load_ssh_private_key(private.encode("ascii"), password=None).public_key()
    return f"{key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode('ascii')} estafette"


def host_keys(lines: str) -> tuple[str, ...]:
    """Those that stand in a text as `known_hosts` and `ssh-keyscan` write it, a line each, with or without the host
    before and a comment behind. InvalidKey."""
    found: list[str] = []
    for line in lines.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            key = _HOST_KEY.search(line)
            if key is None or line.lstrip().startswith("@"):
                raise InvalidKey("not a host key: ssh-ed25519, ecdsa-sha2-nistp… or ssh-rsa, and its base64")
            try:
                load_ssh_public_key(key[0].encode("ascii"))
                b64decode(key["body"], validate=True)
            except (ValueError, UnsupportedAlgorithm):
                raise InvalidKey("the base64 of a host key is none of one") from None
            found.append(key[0])
    if not found:
        raise InvalidKey("there is no host key in it")
    if len(found) > MOST_HOST_KEYS:
        raise InvalidKey(f"at most {MOST_HOST_KEYS} host keys")
    return tuple(dict.fromkeys(found))


def shown(keys: Sequence[str]) -> str:
    """As `host_keys` reads them."""
    return "\n".join(keys)


def _written(key: _Private) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
