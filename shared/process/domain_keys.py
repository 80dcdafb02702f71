"""The DKIM keys of sending domains: made in a thread of their own, sealed under the master secret, opened to sign."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from shared.mail import dkim_keys
from shared.mail.dkim_keys import Algorithm, CannotOpen, Vault
from shared.mail.dkim_rotation import Key, State
from shared.words.sending_domain import SendingDomain

#: Of the first keys of a domain, and of each rotation.
ALGORITHMS: tuple[Algorithm, ...] = ("rsa-sha256", "ed25519-sha256")


class DomainKeys:
    """`vault` seals and opens them; `now` is in seconds since 1970."""

    def __init__(
        self,
        vault: Vault,
        make_key: Callable[[Algorithm], str],
        chance: Callable[[int], bytes],
        now: Callable[[], float],
    ) -> None:
        self._vault = vault
        self._make_key = make_key
        self._chance = chance
        self._now = now
        # An RSA key takes a tenth of a second of a core or more: one after the other, whoever asks for how many.
        self._making = ThreadPoolExecutor(1, "making-keys")

    def private_key(self, domain: str, key: Key) -> str:
        """The PEM text of a domain's key. CannotOpen."""
        return self._vault.open(key.sealed, domain, key.selector)

    def are_current(self, domain: SendingDomain) -> bool:
        """Whether all of its keys are under the current secret."""
        return all(self._vault.is_current(key.sealed) for key in domain.keys)

    def closed(self, domain: SendingDomain) -> list[str]:
        """Those that are not, by name."""
        return [f"{key.selector} of {domain.domain}" for key in domain.keys if not self._vault.is_current(key.sealed)]

    async def make(self, name: str, state: State) -> tuple[Key, ...]:
        return await asyncio.get_running_loop().run_in_executor(
            self._making,
            lambda: tuple(self._new(name, self._make_key(algorithm), state) for algorithm in ALGORITHMS),
        )

    def _new(self, name: str, pem: str, state: State) -> Key:
        selector = dkim_keys.selector(pem)
        sealed = self._vault.seal(pem, name, selector, self._chance(dkim_keys.NONCE_BYTES))
        return Key(selector, dkim_keys.algorithm(pem), sealed, dkim_keys.record(pem), state, int(self._now() * 1000))

    def resealed(self, domain: SendingDomain) -> SendingDomain:
        """With its keys under the current secret; what cannot be opened stays as it is."""
        return msgspec.structs.replace(
            domain, keys=tuple(self._resealed_key(domain.domain, key) for key in domain.keys)
        )

    def _resealed_key(self, domain: str, key: Key) -> Key:
        if self._vault.is_current(key.sealed):
            return key
        try:
            pem = self.private_key(domain, key)
        except CannotOpen:
            return key
        sealed = self._vault.seal(pem, domain, key.selector, self._chance(dkim_keys.NONCE_BYTES))
        return msgspec.structs.replace(key, sealed=sealed)
