"""Starts the reading of events. The routes are mounted by the process of all routes."""

import socket
import time
from collections.abc import Sequence
from secrets import token_hex

from services.settings import read
from services.suppression import settings as own
from services.suppression.choices import Choices
from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.counts import Counts, sweep_forever
from services.suppression.erasing import Erasing
from services.suppression.escalated import escalation
from services.suppression.interactions import Interactions, Noting
from services.suppression.objections import Objections
from services.suppression.reactions import Reactions
from services.suppression.rule_book import RuleBook
from services.suppression.stated import Stated
from services.suppression.store import Lists
from services.suppression.suppression import BATCH, GATHER_MS, Suppression
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run, settle
from shared.redis import bus, keys, start
from shared.redis.consents import ConsentRules
from shared.redis.histories import Histories
from shared.redis.looks import Looks
from shared.redis.members import Members
from shared.redis.recipients import Recipients
from shared.redis.suppression import SuppressionList
from shared.redis.tenants import Tenants
from shared.redis.untracked import UntrackedList


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    client = start.connect(life)
    lists, recipients = Lists(client, partitions, now_ms), Recipients(client, partitions)
    consents = ConsentStore(client, partitions, ConsentRules(client, time.monotonic))
    consenting = Consenting(consents, UntrackedList(client), Objections(client, partitions, lists))
    looks, members = Looks(client, time.monotonic), Members(client, partitions)
    lookup = SuppressionList(client, partitions, now_ms)
    choices = Choices(lists, lookup, members, recipients, looks)
    rules = RuleBook(client, settings.of(own.Suppression).rules, time.monotonic)
    counts = Counts(client, partitions)
    noting = Noting(Interactions(client, partitions), recipients)
    reactions = Reactions(client, partitions, recipients, settings.of(own.Suppression).usual_hours_days, now_ms)
    escalating = escalation(client, partitions, lists, rules)
    suppression = Suppression(lists, recipients, now_ms, consenting, choices, Stated(lists, lookup, escalating))

    async def apply(partition: int, entries: Sequence[bus.Entry]) -> None:
        await suppression.apply(partition, entries)  # first: who left waits for nobody's count
        await escalating.apply(entries)
        await noting.apply(entries)
        await reactions.apply(entries)

    # Named by the host: who left must be on the list within a second, and so after a crash the process finds at once
    # what it had in hand.
    consumer = bus.Consumer(
        client,
        partitions,
        keys.events,
        keys.GROUP_SUPPRESSION,
        socket.gethostname(),
        apply,
        batch=BATCH,
        gather_ms=GATHER_MS,
    )
    async with life.serving(settings.of(own.Suppression).metrics_port):
        if not await start.is_ours(life, client):
            return
        await consumer.create_groups()
        life.spawn(consumer.run(life.stopping), "applying")
        life.spawn(sweep_forever(counts, Tenants(client).all, now_ms, life.stopping), "forgetting counts")
        life.spawn(reactions.sweep_forever(Tenants(client).all, life.stopping), "forgetting hours")
        sent = Histories(client, partitions, settings.jobs.retention_days)
        erasing = Erasing(client, partitions, start.publisher(client, settings), now_ms, lambda: token_hex(8), sent)
        life.spawn(erasing.run(life.stopping), "erasing")
        settle()
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "suppression", read)
