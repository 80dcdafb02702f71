"""A sending domain through the front doors of a running instance, with a DNS server that answers for the world."""

from pathlib import Path
from typing import Any

from tests.fakes.dns_server import DnsServer
from tests.flows.stack import Stack, job


def from_(domain: str) -> dict[str, Any]:
    return job("ana@inbox.test", **{"from": f"News <news@{domain}>"})


async def test_a_domain_is_sent_from_once_dns_shows_it_and_never_by_who_only_names_it(tmp_path: Path) -> None:
    async with DnsServer() as world:
        environ = {"ESTAFETTE_DNS_SERVERS": world.address, "ESTAFETTE_BOUNCES_DOMAIN": "bounces.house.test"}
        async with Stack.running(tmp_path, environ) as stack:
            acme, rogue = [await stack.new_key(name, "send,read,admin") for name in ("acme", "rogue")]
            operator = await stack.new_key("house", "operator")

            # Named, and not shown
            for name in ("com", "co.uk", "github.io", "10.0.0.1", "localhost", "bounces.house.test", "house.test"):
                status, problem = await stack.call("POST", "/v1/domains", {"domain": name}, key=rogue)
                assert (status, problem["type"]) == (422, "urn:estafette:problem:invalid_domain"), name
            for name in ("GMAIL.com.", "acme.test", "news.acme.test"):
                status, claim = await stack.call("POST", "/v1/domains", {"domain": name}, key=rogue)
                assert (status, claim["state"], claim["waits_for"]) == (201, "pending", "dns")
                status, problem = await stack.call("POST", "/v1/jobs", from_(claim["domain"]), key=rogue)
                assert (status, problem["type"]) == (403, "urn:estafette:problem:sending_domain_not_shown")
                [token] = [one for one in claim["records"] if one["name"].startswith("_estafette.")]
                assert token["name"] in problem["detail"]
                assert token["value"] in problem["detail"]

            # Shown by its owner, whom the rogue's claim is no obstacle to
            _, claim = await stack.call("POST", "/v1/domains", {"domain": "acme.test"}, key=acme)
            [token] = [one for one in claim["records"] if one["name"].startswith("_estafette.")]
            world.records += DnsServer(f'{token["name"]}. 60 IN TXT "{token["value"]}"').records
            status, checked = await stack.call("POST", "/v1/domains/acme.test/check", key=acme)
            assert (status, checked["state"], checked["waits_for"]) == (200, "verified", None)
            status, answer = await stack.call("POST", "/v1/jobs", from_("acme.test"), key=acme)
            assert status == 202, answer
            assert await stack.mail("ana@inbox.test")
            assert (await stack.call("POST", "/v1/domains/acme.test/check", key=rogue))[1]["state"] == "pending"
            for name in ("acme.test", "news.acme.test"):
                assert (await stack.call("POST", "/v1/jobs", from_(name), key=rogue))[0] == 403
                assert (await stack.call("POST", "/v1/jobs", from_(name)))[0] == 403  # the demo

            # An operator takes and gives
            status, taken = await stack.call("POST", "/v1/domains/acme.test/take", key=operator)
            assert (status, taken["state"], taken["tenant"]) == (200, "taken_back", "acme")
            said = await stack.console("domains", "give", "acme.test", "--tenant", "rogue")
            assert "added: acme.test" in said
            assert "domain_given" in said
            assert "belongs to tenant rogue" in await stack.console("domains", "give", "acme.test", "--tenant", "acme")
            assert (await stack.call("POST", "/v1/jobs", from_("acme.test"), key=rogue))[0] == 202


async def test_the_console_says_in_words_what_cannot_be(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        for tenant in ("acme", "other"):
            await stack.console("tenants", "add", tenant)
        await stack.console("domains", "add", "acme.example", "--tenant", "acme")

        for words, said in (
            (("domains", "add", "acme.example", "--tenant", "other"), "belongs to tenant acme"),
            (("domains", "give", "acme.example", "--tenant", "nobody"), "there is no tenant nobody"),
            (("domains", "add", "com", "--tenant", "acme"), "a single label"),
            (("domains", "add", "a b", "--tenant", "acme"), "not a domain name"),
            (("domains", "add", "bounces.localhost", "--tenant", "acme"), "a host of this installation"),
            (("domains", "take", "free.example"), "nobody's sending domain"),
            (("domains", "take", "a b"), "not a domain name"),
            (("domains", "check", "a b"), "not a domain name"),
            (("domains", "check", "acme.example", "--tenant", "other"), "not among the sending domains of other"),
            (("domains", "rotate", "free.example"), "nobody's sending domain"),
            (("domains", "activate", "acme.example", "--tenant", "acme"), "there are no new keys"),
            (("tenants", "add", "acme"), "there is a tenant acme already"),
            (("tenants", "add", "A B"), "a tenant's name is"),
            (("keys", "create", "--tenant", "nobody", "--scope", "send"), "there is no tenant"),
            (("keys", "create", "--tenant", "acme", "--scope", "fly"), "unknown scope"),
            (("keys", "revoke", "none"), "there is no key"),
            (("domains", "check", "acme.example", "--tenant", "acme"), "verified"),
            (("domains", "take", "acme.example"), "taken from acme"),
            (("domains", "check", "acme.example", "--tenant", "acme"), "taken_back, waits for operator"),
            (("domains", "list",), "taken back"),
            (("domains", "give", "acme.example", "--tenant", "other"), "added: acme.example"),
        ):  # fmt: skip
            printed = await stack.console(*words)
            assert said in printed, (words, printed)
            assert "Traceback" not in printed, (words, printed)
