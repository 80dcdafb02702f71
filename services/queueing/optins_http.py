"""The route of double opt-ins: sends the mail that asks somebody to confirm."""

from email.utils import parseaddr
from hashlib import sha256
from typing import Annotated

import msgspec
from aiohttp import web

from services.queueing import optins, taking
from services.queueing.taking import JobAccepted, Taking
from shared.http import api
from shared.mail import addresses
from shared.redis.consents import ConsentRules
from shared.redis.looks import Looks
from shared.words import languages
from shared.words.described import says
from shared.words.errors import Fault, Problem


class OptInRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from", "list_": "list"}):
    """Who asked for it, and for what. What they agree to is proved when they press the button."""

    email: Annotated[str, says("The address that shall confirm.", "ana@exemple.fr")]
    from_: Annotated[str, says("The sender, from a domain of the tenant's.", "Chouette <news@exemple.fr>")]
    name: Annotated[str, says("The recipient's name.", "Ana", max_length=200)] = ""
    list_: Annotated[str, says("The list that they join with it.", "newsletter", max_length=64)] = ""
    purpose: Annotated[
        str, says("What they agree to, in a few words; kept with the proof.", "offers by e-mail", max_length=200)
    ] = ""
    language: Annotated[
        languages.Language | None, says("Of the mail and of its page; that of the look where null, else English.", "fr")
    ] = None
    test: Annotated[bool, says("Whether it is a test: nothing comes of its button.", False)] = False


def routes(taken: Taking, looks: Looks, rules: ConsentRules) -> list[api.Route]:
    """`taken` takes the job of the mail."""
    return [
        api.Route(
            "POST",
            "/v1/optins",
            _Routes(taken, looks, rules).ask,
            "Ask somebody by mail to confirm an opt-in; the same again within 24 hours is answered, not sent",
            scope="send",
            body=OptInRequest,
            name="ask_opt_in",
            tag="consents",
            answers={202: JobAccepted},
            problems=[
                "double_opt_in_off",
                "invalid_job",
                "unknown_sending_domain",
                "sending_domain_not_shown",
                "domain_not_allowed",
                "engine_full",
            ],
            examples={
                "application/json": {
                    "email": "ana@exemple.fr",
                    "from": "Chouette <news@exemple.fr>",
                    "list": "newsletter",
                    "purpose": "offers by e-mail",
                    "language": "fr",
                }
            },
        )
    ]


class _Routes:
    def __init__(self, taken: Taking, looks: Looks, rules: ConsentRules) -> None:
        self._taking = taken
        self._looks = looks
        self._rules = rules

    async def ask(self, request: web.Request) -> web.StreamResponse:
        principal = request[api.PRINCIPAL]
        wanted = await api.read_json(request, OptInRequest)
        _, rules = await self._rules.of(principal.tenant)
        if not rules.double_opt_in:
            raise Problem("double_opt_in_off", "the tenant does not ask by mail (PUT /v1/consent-rules)")
        try:
            email = addresses.parse(wanted.email).key
        except addresses.InvalidAddress as fault:
            raise _refused("email", f"not an address: {fault}") from fault
        if wanted.list_ and not wanted.list_.isprintable():
            raise _refused("list", "the name of a list is printable")
        if any(mark in wanted.from_ for mark in ("{{", "{%", "{#")):
            raise _refused("from", "no template")
        look = await self._looks.of(principal.tenant)
        language = wanted.language or look.language or languages.DEFAULT_LANGUAGE
        name, address = parseaddr(wanted.from_)
        sender = look.name or name or address
        body = optins.job(email, wanted.name, wanted.from_, wanted.list_, look, sender, language, test=wanted.test)
        # The same mail is not sent twice in a day: nobody is flooded by somebody else's form.
        digest = sha256(b"optin\x00" + principal.tenant.encode() + b"\x00" + body).hexdigest()
        stored, reply = await self._taking.take(principal, body, key_digest=digest, purpose=wanted.purpose)
        return web.Response(body=taking.answered(stored, reply), status=202, content_type="application/json")


def _refused(field: str, what: str) -> Problem:
    return Problem("invalid_body", "the body does not fit", [Fault(f"$.{field}", what)])
