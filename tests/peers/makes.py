"""The receiving hosts of `tests.peers.receivers`, started: a real Postfix, Exim and OpenSMTPD on one port."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.peers import exim, opensmtpd, policy, postfix, receivers
from tests.peers.postfix import Domains
from tests.peers.receivers import Receiver
from tests.servers import free_port


@contextmanager
def running() -> Iterator[dict[str, Receiver]]:
    """Each make by its name, and a policy server that they ask."""
    with ExitStack() as started:
        asked = started.enter_context(policy.serving()).where
        port = free_port()
        makes: dict[str, Callable[[], AbstractContextManager[Receiver]]] = {
            "postfix": lambda: postfix.running(_postfix_domains(), {}, listeners=_postfix_listeners(asked), port=port),
            "exim": lambda: exim.running(port, asked),
            "opensmtpd": lambda: opensmtpd.running(port),
        }
        yield {make: started.enter_context(makes[make]()) for make in receivers.MAKES}


def _postfix_domains() -> Domains:
    domains = receivers.domains("postfix")
    return Domains(
        accepting=(), strict=domains, users=[f"{user}@{domain}" for domain in domains for user in receivers.USERS]
    )


def _postfix_listeners(asked: str) -> dict[str, Mapping[str, str]]:
    """Who sends ahead where PIPELINING was not offered is refused, as Exim does by itself."""
    everywhere = {
        "message_size_limit": str(receivers.SIZE_LIMIT_BYTES),
        "smtpd_recipient_restrictions": (
            f"check_policy_service inet:{asked}, reject_unauth_destination, reject_unlisted_recipient"
        ),
        "smtpd_data_restrictions": "reject_unauth_pipelining",
    }
    parameters = {
        "whole": everywhere,
        "clear": everywhere | {"smtpd_tls_security_level": "none"},
        "bare": everywhere | {"smtpd_discard_ehlo_keywords": "pipelining, smtputf8"},
    }
    return {receivers.address("postfix", variant): parameters[variant] for variant in receivers.VARIANTS}
