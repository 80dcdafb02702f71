"""The pages of the mailbox, put together. Whoever reaches them reads every mail: mounted only where mail goes there."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from services.local.mailbox import dkim, http, store
from shared.http.parts import Mounted, Parts
from shared.mail.domain_names import InvalidDomain
from shared.net import dns
from shared.redis.sending_domains import SendingDomains
from shared.words.sending_domain import records


def routes(parts: Parts) -> Mounted:
    settings = parts.settings
    sending_domains = SendingDomains(parts.client, parts.vault, ours=settings.own_hosts)

    async def records_of(selector: str, domain: str) -> Sequence[str] | None:
        """Our own keys as they shall be published, for DNS has none of a domain for trying; DNS has the others'."""
        name = f"{selector}._domainkey.{domain}"
        try:
            found = await sending_domains.find(domain)
        except InvalidDomain:
            return ()
        ours = [record.value for record in records(found, parts.now_ms()) if record.name == name] if found else []
        return ours or (await dns.texts([name], settings.dns.servers, settings.dns.timeout_ms))[name]

    async def verdict_of(signature: dkim.Signature) -> dkim.Verdict:
        asked = await records_of(signature.selector, signature.domain) if signature.faulty is None else None
        return dkim.verdict(signature, asked, parts.now_ms() // 1000)

    pages = http.routes(
        store.Reader(parts.client),
        lambda: parts.chance(16).hex(),
        [name.lower() for name in (settings.http.host, urlsplit(settings.base_url).hostname) if name],
        verdict_of=verdict_of,
    )
    return Mounted(pages)
