"""Sending domains: which tenant may write From a domain, and the DKIM keys that sign for it.

Queueing asks before it takes a job, the relay before it signs.

A domain has one owner at most: who shows to own it. A tenant names it, and has a claim of its own, with keys and a
token of its own, which sends nothing. Any number of tenants may claim a name, and none learns of the others. `check`
asks DNS: where it shows the claim's token (TXT at `_estafette.<domain>`) or the record of one of its keys, the domain
is the tenant's, unless

    an operator gave it to somebody                          it stays until they take it back
    another owner's token or key is shown too, or perhaps    it stays; an operator decides
    it is below a domain of another owner                    an operator decides
    an operator took it, or a domain above it, from them     an operator decides

An owner of whom DNS shows nothing any more loses it to who is shown: the domain has been sold. Alone they lose
nothing: a record that is gone may be an accident, and the mails would be late. Who shows a domain above another's gets
it without what is below: a right is to the name alone, never to what is above or below it.

A tenant with `any_from_domain` (the demo) takes a free name by using it, unless it is above or below another's, and
loses it to whoever shows or is given it: having used a name is no claim to it. The installation itself may own one too,
that of its return paths: no tenant writes From it, and its key signs beside the tenants' (RFC 9477 section 3.1.3).
What is at, above or below the hosts of the installation is no tenant's, but for what an operator gives above them.

A domain has a key of each kind, RSA and Ed25519; `shared.mail.dkim_rotation` is how they are replaced. Private keys are
encrypted under the master secret; each change of a domain encrypts them anew where the secret has changed since.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

import msgspec

from shared.mail import dkim_keys, dkim_rotation, dmarc, domain_names
from shared.mail.dkim_keys import Algorithm, Vault
from shared.mail.dkim_rotation import Check, Key, NotPublished
from shared.mail.domain_names import InvalidDomain, normalise
from shared.net.remembered import Remembered
from shared.process import logs
from shared.process.domain_keys import DomainKeys
from shared.redis.domain_tables import DomainTables, Swap, claim_swap, kin_swap, owned_swap, packed
from shared.redis.domain_tellings import Tellings
from shared.redis.own_links import OwnLinks
from shared.redis.redis import Client
from shared.redis.return_paths import OwnReturnPaths
from shared.words.sending_domain import (
    INSTALLATION,
    SendingDomain,
    how_to_show,
    judge_token,
    proof_record,
    records,
)

#: How long a process goes on with what it knew of a domain. A relay asks again each second
#: (`services.relay.making.mails`), so that a domain removed, or new keys, are known everywhere within ten.
CACHE_SECONDS = 8.0
#: Domains remembered at most; beyond, the whole cache is dropped.
CACHE_DOMAINS = 10_000

#: Asks DNS for the TXT records of each of these names, now: what was remembered does not count.
LookUp = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str] | None]]]

#: Whether mail to a return path comes to us, and whether it lets us send, asked of DNS now.
Inspect = Callable[[str], Awaitable[tuple[Check, Check]]]
#: Whether a host leads to our trackers.
Follow = Callable[[str], Awaitable[Check]]

#: As much as an AES key has: nobody guesses it, and it is made once.
TOKEN_BYTES = 16

_log = logs.get_logger()


class DomainTaken(Exception):
    """Another tenant's. The message is for operators."""


class DomainHeld(Exception):
    """An operator took it from this tenant: an operator gives it back."""


class NotShown(LookupError):
    """The tenant has named the domain, and DNS does not show yet that it is theirs."""

    def __init__(self, domain: SendingDomain) -> None:
        super().__init__(how_to_show(domain))
        self.domain = domain


class SendingDomains:
    """The store. `ours` are the hosts of the installation: where its links lead, where its return paths are. Raises
    RedisAway when Redis does not answer."""

    def __init__(
        self,
        client: Client,
        vault: Vault,
        *,
        ours: Sequence[str] = (),
        make_key: Callable[[Algorithm], str] = dkim_keys.make,
        chance: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables = DomainTables(client)
        self._keys = DomainKeys(vault, make_key, chance, now)
        self._ours = domain_names.hosts(*ours)
        self._chance = chance
        self._now_ms: Callable[[], int] = lambda: int(now() * 1000)
        self.returns = OwnReturnPaths(client, self._ours, self._change, self._now_ms)
        self.links, self.tellings = OwnLinks(self._change), Tellings(self._change)
        #: Also that there is none: what is remembered is a tuple of one.
        self._cache = Remembered[str, tuple[SendingDomain | None]](CACHE_DOMAINS, monotonic)

    # What there is

    async def of_tenant(self, tenant: str) -> list[SendingDomain]:
        """By name: what is the tenant's, and what it claims."""
        own = [one for one in await self._tables.all_owned() if one.tenant == tenant]
        return sorted([*own, *await self._tables.claims(tenant)], key=lambda one: one.domain)

    async def all(self) -> list[SendingDomain]:
        """Everybody's, by name, claims too."""
        found = [*await self._tables.all_owned(), *await self._tables.all_claims()]
        return sorted(found, key=lambda one: (one.domain, one.tenant))

    async def get(self, tenant: str, domain: str) -> SendingDomain | None:
        """The domain if it is the tenant's, or its claim to it; None if it has none. InvalidDomain."""
        return (await self._tables.own(tenant, normalise(domain)))[2]

    async def find(self, domain: str) -> SendingDomain | None:
        """The domain, whoever owns it. InvalidDomain."""
        return (await self._tables.owned(normalise(domain)))[1]

    # To sign with

    async def for_sending(
        self, tenant: str, domain: str, *, any_from_domain: bool, most: int | None = None
    ) -> SendingDomain:
        """The domain with its keys, if the tenant may write From it, remembered for `CACHE_SECONDS`. With
        `any_from_domain` a free one is taken. InvalidDomain; DomainTaken if another owns it, or it is the
        installation's; LookupError if nobody does and the tenant has to add it, NotShown if it has done that."""
        name = normalise(domain)
        if domain_names.at_or_below(name, self._ours):
            raise DomainTaken(f"{name} is the installation's")
        (known,) = self._cache.known(name) or (None,)
        if known is None or known.tenant != tenant:
            known = await self._find(tenant, name, any_from_domain, most)
            self._cache.keep(name, (known,), CACHE_SECONDS)
        return known

    async def of_installation(self, domain: str) -> SendingDomain | None:
        """The domain if it is the installation's own, remembered for `CACHE_SECONDS`, as is that it is not."""
        name = normalise(domain)
        remembered = self._cache.known(name)
        if remembered is None:
            remembered = ((await self._tables.owned(name))[1],)
            self._cache.keep(name, remembered, CACHE_SECONDS)
        (known,) = remembered
        return known if known is not None and known.tenant == INSTALLATION else None

    def private_key(self, domain: str, key: Key) -> str:
        """The PEM text of a domain's key. CannotOpen."""
        return self._keys.private_key(domain, key)

    # To change them

    async def add(self, tenant: str, domain: str, most: int | None = None) -> tuple[SendingDomain, bool]:
        """The tenant's domain or its claim to it, and whether it is new. A second time changes nothing. What others
        have or claim makes no difference. `most`: the tenant's quota of domains. InvalidDomain; Problem 429 beyond the
        quota."""
        name = _askable(domain, self._ours)
        made: SendingDomain | None = None
        while True:
            _, _, own = await self._tables.own(tenant, name)
            if own is not None:
                return own, False
            made = made or await self._make(tenant, name, most)
            if await self._swap([claim_swap(tenant, b"", made, name)]):
                await self._tables.count(tenant, name)
                return made, True

    async def give(self, tenant: str, domain: str) -> tuple[SendingDomain, bool]:
        """An operator's word that the domain is this tenant's, or the installation's; whether it is new. Others keep
        their claims. InvalidDomain; DomainTaken if it is another's: take it from them first."""
        name = normalise(domain)
        if tenant != INSTALLATION:
            domain_names.refuse_nobodys(name)
            if host := domain_names.at_or_below(name, self._ours):
                raise InvalidDomain(f"{name} is at or below {host}, which is a host of this installation")
        made: SendingDomain | None = None
        while True:
            before, owner = await self._tables.owned(name)
            if owner is not None and owner.tenant != tenant and not owner.by_use:
                whose = f"tenant {owner.tenant}" if owner.tenant else "the installation"
                raise DomainTaken(f"{name} belongs to {whose}: take it from there first")
            claimed, claim = await self._tables.claim(tenant, name)
            own = owner if owner is not None and owner.tenant == tenant else None
            if own is not None and own.proof == "operator":
                return own, False
            if (own or claim) is None:
                made = made or await self._make(tenant, name, None)
            given = msgspec.structs.replace(cast(SendingDomain, own or claim or made), by_use=False, proof="operator")
            swaps = [claim_swap(tenant, claimed, None, name), await self._tables.kin_swap(name, tenant)]
            if await self._swap([owned_swap(before, self._keys.resealed(given), name), *swaps]):
                await self._tables.count(tenant, name)
                _log.info("domain_given", domain=name, tenant=tenant)
                return given, own is None or own.by_use

    async def take(self, domain: str) -> SendingDomain | None:
        """An operator takes the domain from its owner, who keeps its keys and gets it back from an operator alone. What
        waits to be sent From it waits on. None if it is nobody's. InvalidDomain."""
        name = normalise(domain)
        while True:
            before, owner = await self._tables.owned(name)
            if owner is None:
                return None
            taken = msgspec.structs.replace(owner, by_use=False, proof="taken_back")
            swaps = [owned_swap(before, None, name), await self._tables.kin_swap(name, None)]
            if owner.tenant != INSTALLATION:
                claimed, _ = await self._tables.claim(owner.tenant, name)
                swaps.append(claim_swap(owner.tenant, claimed, taken, name))
            if await self._swap(swaps):
                _log.info("domain_taken_back", domain=name, tenant=owner.tenant)
                return taken

    async def remove(self, tenant: str, domain: str) -> bool:
        """Whether it was the tenant's, or its claim. InvalidDomain, DomainHeld."""
        name = normalise(domain)
        while True:
            key, before, own = await self._tables.own(tenant, name)
            if own is None:
                return False
            if own.proof == "taken_back":
                raise DomainHeld(f"an operator took {name} back: an operator alone gives it again")
            kin = [await self._tables.kin_swap(name, None)] if own.proof else []
            if await self._swap([Swap(key, name, before, b""), *kin]):
                await self._tables.count_no_more(tenant, name, self._now_ms())
                await self.returns.leave(tenant, name)
                return True

    async def rotate(self, tenant: str, domain: str, most: int | None = None) -> SendingDomain:
        """With new keys to publish, which sign nothing yet; a second time, the same. New keys count as a domain for a
        day. LookupError, InvalidDomain; Problem 429 beyond the quota `most`."""
        made: tuple[Key, ...] = ()

        async def with_new(found: SendingDomain) -> SendingDomain:
            nonlocal made
            kept = dkim_rotation.kept(found.keys, self._now_ms())
            if dkim_rotation.waiting(kept):
                return found
            if not made:
                now_ms = self._now_ms()
                await self._tables.reserve(tenant, f"{found.domain}@{now_ms}", most, now_ms)
                made = await self._keys.make(found.domain, "waiting")
            return msgspec.structs.replace(found, keys=(*kept, *made))

        return await self._change(tenant, domain, with_new)

    async def check(
        self, tenant: str, domain: str, look_up: LookUp, inspect: Inspect | None = None, follow: Follow | None = None
    ) -> SendingDomain:
        """With what DNS shows now; a claim that it shows becomes the tenant's (above). LookupError, InvalidDomain."""
        asked = partial(_checked, look_up=look_up, now_ms=self._now_ms(), inspect=inspect, follow=follow)
        checked = await self._change(tenant, domain, asked)
        waits = checked.standing in ("pending", "by_use") and checked.is_shown
        return (await self._promoted(tenant, checked.domain, look_up) if waits else None) or checked

    async def _promoted(self, tenant: str, name: str, look_up: LookUp) -> SendingDomain | None:
        """The domain, from now on the tenant's; None where an operator has to decide. DNS has just shown the claim."""
        while True:
            before, owner = await self._tables.owned(name)
            claimed, claim = await self._tables.claim(tenant, name)
            mine = owner if owner is not None and owner.tenant == tenant else claim
            if mine is None or mine.standing not in ("pending", "by_use") or not mine.is_shown:
                return None
            rival = owner if owner is not None and owner.tenant != tenant and not owner.by_use else None
            if rival is not None:
                if rival.proof == "operator":
                    return None
                rival = await _checked(rival, look_up, self._now_ms())
                if rival.may_be_shown:
                    return None
            kin_packed, kin = await self._tables.kin(name)
            if _is_held(name, tenant, kin) or await self._tables.is_taken_back(tenant, name):
                return None
            proven = msgspec.structs.replace(mine, by_use=False, proof="dns")
            swaps = [
                owned_swap(before, proven, name),
                claim_swap(tenant, claimed, None, name),
                kin_swap(name, tenant, kin_packed, kin),
            ]
            if rival is not None:
                rivals, _ = await self._tables.claim(rival.tenant, name)
                lost = msgspec.structs.replace(rival, proof="")
                swaps.append(claim_swap(rival.tenant, rivals, lost, name))
            if await self._swap(swaps):
                _log.info("domain_shown", domain=name, tenant=tenant, before=owner.tenant if owner else None)
                return proven

    async def activate(self, tenant: str, domain: str, look_up: LookUp | None) -> SendingDomain:
        """With the waiting keys signing, and the former ones retiring. DNS is asked first; without `look_up` it is not,
        and the caller answers for it. NotPublished, NothingWaiting, LookupError, InvalidDomain."""
        if look_up is not None:
            await self.check(tenant, domain, look_up)

        async def with_active(found: SendingDomain) -> SendingDomain:
            if look_up is not None and (faults := dkim_rotation.faults(found.keys, found.domain)):
                raise NotPublished(faults)
            return msgspec.structs.replace(found, keys=dkim_rotation.activated(found.keys, self._now_ms()))

        return await self._change(tenant, domain, with_active)

    async def reencrypt(self) -> tuple[int, list[str]]:
        """Encrypts all keys under the current secret; how many domains had others, and which keys cannot be opened."""
        changed, failed = 0, []
        for domain in await self.all():
            if self._keys.are_current(domain):
                continue
            with suppress(LookupError):  # removed in the meantime
                now = await self._change(domain.tenant, domain.domain, _as_it_is)
                changed += 1
                failed += self._keys.closed(now)
        return changed, failed

    async def _change(
        self, tenant: str, domain: str, change: Callable[[SendingDomain], Awaitable[SendingDomain]]
    ) -> SendingDomain:
        """The tenant's domain or claim, changed. Several may do so at once: each change is made to what is there."""
        name = normalise(domain)
        while True:
            key, before, found = await self._tables.own(tenant, name)
            if found is None:
                raise LookupError(f"{name} is not among the sending domains of {tenant or 'the installation'}")
            changed = self._keys.resealed(await change(found))
            if changed == found or await self._swap([Swap(key, name, before, packed(changed))]):
                return changed

    async def _find(self, tenant: str, name: str, any_from_domain: bool, most: int | None) -> SendingDomain:
        _, found = await self._tables.owned(name)
        if found is not None and found.tenant == tenant:
            return found
        if any_from_domain:
            return await self._take_by_use(tenant, name, most)
        raise _not_theirs(name, tenant, found, (await self._tables.claim(tenant, name))[1])

    async def _take_by_use(self, tenant: str, name: str, most: int | None) -> SendingDomain:
        """Several processes may do so at once: the first one's keys stay, the others read them."""
        domain_names.refuse_nobodys(name)
        if domain_names.above(name, self._ours):
            raise DomainTaken(f"{name} is above a host of the installation")
        made: SendingDomain | None = None
        while True:
            before, found = await self._tables.owned(name)
            if found is not None and found.tenant == tenant:
                return found
            kin_packed, kin = await self._tables.kin(name)
            if found is not None or any(
                owner != tenant and domain_names.is_kin(name, other) for other, owner in kin.items()
            ):
                raise DomainTaken(f"{name} belongs to another tenant, or is above or below what does")
            if await self._tables.is_taken_back(tenant, name):
                raise DomainTaken(f"an operator took {name} back")
            claimed, claim = await self._tables.claim(tenant, name)
            if claim is None:
                made = made or await self._make(tenant, name, most)
            taken = msgspec.structs.replace(cast(SendingDomain, claim or made), by_use=True)
            unchanged = kin_swap(name, None, kin_packed, kin)  # it is not among them: they must be the same
            swaps = [claim_swap(tenant, claimed, None, name), unchanged]
            if await self._swap([owned_swap(before, taken, name), *swaps]):
                await self._tables.count(tenant, name)
                return taken

    async def count(self) -> None:
        """Counts all domains for the quotas of their owners: what broke off before it had counted one is mended."""
        for domain in await self.all():
            await self._tables.count(domain.tenant, domain.domain)

    async def _make(self, tenant: str, name: str, most: int | None) -> SendingDomain:
        await self._tables.reserve(tenant, name, most, self._now_ms())
        made = await self._keys.make(name, "signing")
        token = self._chance(TOKEN_BYTES).hex()
        return SendingDomain(name, tenant, created_at=self._now_ms(), keys=made, token=token)

    async def _swap(self, swaps: Sequence[Swap]) -> bool:
        """Whether nobody else was faster."""
        for one in swaps:
            self._cache.forget(one.field)
        return await self._tables.swap(swaps)


def _is_held(name: str, tenant: str, kin: Mapping[str, str]) -> bool:
    """Whether what is above the name is another owner's; for the installation's own, what is below it counts too."""
    return any(
        owner != tenant
        and (domain_names.is_below(name, other) or (owner == INSTALLATION and domain_names.is_kin(name, other)))
        for other, owner in kin.items()
    )


async def _as_it_is(found: SendingDomain) -> SendingDomain:
    return found


def _askable(domain: str, ours: Sequence[str]) -> str:
    """The name if a tenant may ask for it. InvalidDomain."""
    name = normalise(domain)
    domain_names.refuse_nobodys(name)
    domain_names.refuse_reserved(name)
    if host := domain_names.at_or_below(name, ours) or domain_names.above(name, ours):
        raise InvalidDomain(f"{name} is at, above or below {host}, which is a host of this installation")
    return name


def _not_theirs(name: str, tenant: str, found: SendingDomain | None, claim: SendingDomain | None) -> Exception:
    """Why the tenant does not write From it. `found` is somebody else's domain, or nobody's."""
    owned = found if found is not None and not found.by_use else None
    if owned is not None and owned.tenant == INSTALLATION:
        return DomainTaken(f"{name} is the installation's")
    if claim is not None:
        return NotShown(claim)
    if owned is not None:
        return DomainTaken(f"{name} belongs to another tenant")
    return LookupError(f"{name} is not among the sending domains of {tenant}")


async def _checked(
    found: SendingDomain,
    look_up: LookUp,
    now_ms: int,
    inspect: Inspect | None = None,
    follow: Follow | None = None,
) -> SendingDomain:
    asked = [record.name for record in records(found, now_ms) if record.type == "TXT"]
    texts = await look_up(list(dict.fromkeys((*asked, *dmarc.names(found.domain)))))
    returns, spf = found.returns, found.spf
    if inspect is not None and found.return_path:
        returns, spf = await inspect(found.return_path)
    leads = found.leads if follow is None or not found.links else await follow(found.links_host)
    proof = proof_record(found)
    shown = judge_token(texts[proof.name], proof.value, now_ms) if proof.name in texts else found.shown
    return msgspec.structs.replace(
        found,
        keys=dkim_rotation.checked(dkim_rotation.kept(found.keys, now_ms), found.domain, texts, now_ms),
        dmarc=dmarc.judge(found.domain, found.return_path, texts, now_ms),
        shown=shown,
        returns=returns,
        spf=spf,
        leads=leads,
    )
