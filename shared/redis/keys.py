"""Every Redis key: name, type, meaning, lifetime. No other file spells one.

Each key carries a hash tag, so that a script or a multi-key command finds all its keys on one node of a cluster:
`{pK}` is partition K, `{meta}` what the installation shares, `{limits}` what relays count together, `{mailbox}` the
catch-all mailbox. A job, a site and an address each belong to one partition (`shared.words.ids`). P stands for the
partition below.
"""

from hashlib import sha1
from typing import Literal

#: By what a message leaves; a relay asks for what leaves by its own.
Channel = Literal["email"]

# The installation


def partitions() -> str:
    """string · the number of partitions, fixed at first start · for ever"""
    return "est:{meta}:partitions"


def installation() -> str:
    """hash: `id`, made at first start; `schema` of the data; `whole`, once every partition has its mark; `also:<id>`,
    for which it was accepted · for ever"""
    return "est:{meta}:installation"


def installation_mark(partition: int) -> str:
    """string · the installation's id, by which a partition that lost its data is known · for ever"""
    return f"est:{{p{partition}}}:installation"


def master_secret() -> str:
    """string · by what the installation's master secret is known: a keyed hash (`shared.redis.known_secret`) · for
    ever"""
    return "est:{meta}:master_secret"


def refused_secret(process: str) -> str:
    """string · a process of this name was refused for its master secret, and none started since · 10 minutes"""
    return f"est:{{meta}}:refused_secret:{process}"


def probe(p: int) -> str:
    """list · never there: adding to it is a write that changes nothing, by which a server that takes none is known
    (`shared.redis.watch`)"""
    return f"est:{{p{p}}}:probe"


def kept(tag: str) -> str:
    """string, empty · written behind what replicas or disks are to have before it counts (`shared.redis.kept`), in the
    same slot · for ever"""
    return f"est:{{{tag}}}:kept"


def surveyor() -> str:
    """string · the process that looks at all that waits, and reports it (`services.reports.survey`) · 45 seconds after
    it looked last"""
    return "est:{meta}:surveyor"


def tenants() -> str:
    """hash, tenant → its record (msgpack) · for ever"""
    return "est:{meta}:tenants"


def sub_accounts(tenant: str) -> str:
    """set of tenants · the sub-accounts of a tenant, as far as `tenants` says so, too · for ever"""
    return f"est:{{meta}}:sub_accounts:{tenant}"


def api_keys() -> str:
    """hash, key id → SHA-256 of the key, tenant, scopes, and what else it is for (msgpack) · until revoked"""
    return "est:{meta}:api_keys"


def domains() -> str:
    """hash, domain → owner, DKIM keys (encrypted), what DNS shows of them (msgpack) · until removed"""
    return "est:{meta}:domains"


def domain_claims(tenant: str) -> str:
    """hash, domain → what `domains` has, of one that the tenant has named and not shown to be theirs, or that an
    operator took from them (msgpack) · until it is shown, given or removed"""
    return f"est:{{meta}}:domain_claims:{tenant}"


def domain_kin() -> str:
    """hash, registered domain → the names at and below it that are in `domains` for good, and whose each is (msgpack):
    who is above or below whom is one look-up · while there are any"""
    return "est:{meta}:domain_kin"


def return_paths() -> str:
    """hash, tenant/domain → the return path that its mail has, domain@ms → one that was given up, and until when mail
    to it is taken; `version` → how often it changed · while there are any"""
    return "est:{meta}:return_paths"


def link_keys() -> str:
    """hash, tenant/current → the generation of keys that signs its links, tenant/begun/n and tenant/revoked/n → since
    when (ms) generation n signs, and is revoked; `version` → how often it changed · for ever: mails stay"""
    return "est:{meta}:link_keys"


def tenant_domains(tenant: str) -> str:
    """zset · the tenant's quota of domains: domain → infinity while it is held, domain@ms → ms until which one that was
    removed or given new keys counts · until then"""
    return f"est:{{meta}}:tenant_domains:{tenant}"


# Streams and what belongs to them


def intake(p: int, lane: int) -> str:
    """stream of Intake · chunks of jobs that wait to be queued, lane 0 not behind lane 1 · an entry until its chunk is
    queued"""
    return f"est:{{p{p}}}:intake:{lane}"


def events(p: int) -> str:
    """stream of facts · what happened · at least `events.retention_days`, and until every group that is
    registered (`readers`) has read it"""
    return f"est:{{p{p}}}:events"


def dead(stream: str) -> str:
    """stream · what could not be handled, with its reason and origin · until the operator removes it"""
    return f"{stream}.dead"


def readers(stream: str) -> str:
    """hash: `silent:<group>`, ms for which a registered group has not been heard of; `looked`, when (ms) that was
    counted last · for ever"""
    return f"{stream}.readers"


def trimmed(p: int) -> str:
    """string · the id of the last entry of `events` that may have been removed: who stood before it may have missed
    something · for ever"""
    return f"est:{{p{p}}}:trimmed"


# Feeds: where in `events` the events of a tenant and of a job are (`services.reports.feed`)


def feed_mark(p: int) -> str:
    """string · the id of the last entry of `events` that is in the feeds; nothing behind it is trimmed · for ever"""
    return f"est:{{p{p}}}:feed_mark"


def tenant_feed(p: int, tenant: str) -> str:
    """list of chunks · where the events of a tenant are · a chunk as long as its events, the list a day longer than
    events are kept after the last"""
    return f"est:{{p{p}}}:feed:{tenant}"


def job_feed(p: int, job_id: str) -> str:
    """list of chunks · the same of a job · as `tenant_feed`, and no longer than the job"""
    return f"est:{{p{p}}}:job:{job_id}:feed"


def feed_kinds(p: int, tenant: str) -> str:
    """hash, stream, list and tags of jobs → the number by which feeds know them · as `tenant_feed`"""
    return f"est:{{p{p}}}:feed_kinds:{tenant}"


def history(p: int, tenant: str, window: int) -> str:
    """The base of lists, one for each range of hashes · which messages of jobs made in a window of 28 days an address
    got, by a keyed hash of it (`shared.redis.histories`) · `jobs.retention_days` and 28 days after the last of them was
    queued, or until the address is erased"""
    return f"est:{{p{p}}}:history:{tenant}:{window}"


def published(p: int, batch: str) -> str:
    """string · this batch of facts is on the stream already: a repeated publish does nothing · 10 minutes"""
    return f"est:{{p{p}}}:published:{batch}"


GROUP_QUEUEING = "queueing"
GROUP_SUPPRESSION = "suppression"
GROUP_REPORTS = "reports"
GROUP_BREAKERS = "breakers"
GROUP_WEBHOOKS = "webhooks"
GROUP_ARCHIVE = "archive"
GROUP_CONTACTS = "contacts"


def archive(p: int) -> str:
    """hash: `position`, the id of the last entry of `events` that is in the archive; `plan`, that of the last one of
    the batch that is being written (`services.archive.store`); `begin`, that of the last one that was trimmed before
    there was an archive · for ever"""
    return f"est:{{p{p}}}:archive"


def archive_lease() -> str:
    """string · the process that writes the archive; another stands by · 20 seconds after it said so last"""
    return "est:{meta}:archive_lease"


def archive_erasures() -> str:
    """hash, tenant/digest → ms from when on the files of an address that was erased are made anew · until they are"""
    return "est:{meta}:archive_erasures"


def archive_removals() -> str:
    """hash, tenant → ms at which somebody asked for its files to be removed · until they are"""
    return "est:{meta}:archive_removals"


# Jobs


def job(p: int, job_id: str) -> str:
    """hash · tenant, state, compiled content, totals, times: `shared.redis.jobs` · `jobs.retention_days` after its last
    message had its end (`services.reports.retention`)"""
    return f"est:{{p{p}}}:job:{job_id}"


def job_recipients(p: int, job_id: str) -> str:
    """zset, score = first ordinal of a chunk, member = the chunk: whole until queued, then addresses and metadata
    alone (late facts name a message by its ordinal) · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:recipients"


def job_chunks(p: int, job_id: str) -> str:
    """list · first ordinals of an open job's chunks · until the job starts"""
    return f"est:{{p{p}}}:job:{job_id}:chunks"


def job_seen(p: int, job_id: str) -> str:
    """set of 8-byte digests · which addresses an open job has taken already · until the job starts, or a day
    longer than it may stay open"""
    return f"est:{{p{p}}}:job:{job_id}:seen"


def job_plan(p: int, job_id: str, first_ordinal: int) -> str:
    """string · what was decided for a chunk (site, suppressed, rejected), so that a repeat decides the same · until
    the chunk is queued, 7 days at most"""
    return f"est:{{p{p}}}:job:{job_id}:plan:{first_ordinal}"


def job_ended(p: int, job_id: str) -> str:
    """bitmap by ordinal · the message has its final fact: a second one is not published · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:ended"


def job_begun(p: int, job_id: str) -> str:
    """string, one byte per ordinal · of an at-most-once job the attempt whose body was about to be sent (`relay.begun`)
    · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:begun"


def job_files(p: int, job_id: str) -> str:
    """hash, digest → bytes · the files that single recipients of the job get (`shared.words.own_files`), each once ·
    until the job has its end, or everybody who gets it is erased; a job that is removed takes them along"""
    return f"est:{{p{p}}}:job:{job_id}:files"


def job_file_uses(p: int, job_id: str) -> str:
    """hash, digest → how many recipients of the job get that file · as `job_files`"""
    return f"est:{{p{p}}}:job:{job_id}:file_uses"


def jobs(p: int) -> str:
    """zset of jobs, score 0 · every job of the partition, in the order in which they were made · as long as the job"""
    return f"est:{{p{p}}}:jobs"


def tenant_jobs(p: int, tenant: str) -> str:
    """zset of jobs, score 0 · the same of a tenant · as long as the job"""
    return f"est:{{p{p}}}:jobs:{tenant}"


def retention_walk(p: int) -> str:
    """string · the last of `jobs` that was looked at whether it has ended · for ever"""
    return f"est:{{p{p}}}:retention_walk"


def unended_jobs(p: int) -> str:
    """zset, job → ms · jobs that had not ended when they were looked at, and when they are looked at again · until they
    have ended"""
    return f"est:{{p{p}}}:unended_jobs"


def ended_jobs(p: int) -> str:
    """zset, job → ms · jobs that have ended, and when that was seen · until they are removed"""
    return f"est:{{p{p}}}:ended_jobs"


def finishing(p: int) -> str:
    """zset, job → how often something happened since it was looked at last by which it may have ended: a message got
    its end, or its recipients were decided · until it is looked at (`services.reports.finishing`), in a second"""
    return f"est:{{p{p}}}:finishing"


def removals(p: int) -> str:
    """hash, job → how many of its timelines are left · jobs that are being removed: nothing but what they left is there
    any more · until that is gone, too"""
    return f"est:{{p{p}}}:removals"


def schedule(p: int) -> str:
    """zset, job → ms · jobs that start later · until started"""
    return f"est:{{p{p}}}:schedule"


def selecting(p: int) -> str:
    """zset, job → ms · jobs whose recipients are taken from a set, and when a process may take up the next of them:
    at once, or once nothing was heard of the one that has it · until all are taken"""
    return f"est:{{p{p}}}:selecting"


def targets(p: int) -> str:
    """zset, job → ms · jobs whose recipients are contacts, and when a process of `contacts` may take up the next of
    them: at once, or once nothing was heard of the one that has it · until all are handed over
    (`shared.redis.targets`)"""
    return f"est:{{p{p}}}:targets"


def target(p: int, job_id: str) -> str:
    """hash · how far the contacts of a job were handed over · until the job has them, or 30 days after the last"""
    return f"est:{{p{p}}}:job:{job_id}:target"


def target_pages(p: int, job_id: str) -> str:
    """list · contacts that were handed over and that the job does not have yet, as pages; a few · as `target`"""
    return f"est:{{p{p}}}:job:{job_id}:target_pages"


def contacts_here() -> str:
    """string · there are contacts in this installation · an hour after their service was there last"""
    return "est:{meta}:contacts_here"


def open_jobs(p: int) -> str:
    """zset, job → ms · open jobs, and when each is removed if it has not been started · until started or removed"""
    return f"est:{{p{p}}}:open_jobs"


def use(p: int, tenant: str) -> str:
    """hash · what the tenant keeps in this partition, changed by the scripts that keep it: `open_jobs`, `bytes` of open
    jobs' content and of recipients not yet queued, `templates` (bytes of stored templates), and by hour since 1970
    `keys:<hour>` (Idempotency-Keys) and `content:<hour>` (bytes; those of recipients whose mails can be shown, too) ·
    for ever; an hour until it is a day old"""
    return f"est:{{p{p}}}:use:{tenant}"


def templates(p: int, tenant: str) -> str:
    """hash, name of a template → its head: numbers, times and sizes of its versions (msgpack,
    `services.queueing.template_store`); `(last)` → the highest number of any that was removed · until removed"""
    return f"est:{{p{p}}}:templates:{tenant}"


def template(p: int, tenant: str, name: str) -> str:
    """hash, number of a version → the template (msgpack, compressed) · until removed, the oldest until there are too
    many"""
    return f"est:{{p{p}}}:template:{tenant}:{name}"


def intake_use(p: int, lane: int) -> str:
    """hash, tenant → how many entries of `intake` are theirs · while there are any"""
    return f"est:{{p{p}}}:intake_use:{lane}"


def idempotency(p: int, digest: str) -> str:
    """hash · digest of tenant and Idempotency-Key → digest of the request and its answer · 24 hours"""
    return f"est:{{p{p}}}:idempotency:{digest}"


# Breakers: how jobs and tenants fare. The first three are in the partition of the job


def job_judged(p: int, job_id: str) -> str:
    """bitmap, four bits per ordinal · what was counted of each message, so that nothing counts twice
    (`services.queueing.figures`) · 90 days after the last of it"""
    return f"est:{{p{p}}}:job:{job_id}:judged"


def job_figures(p: int, job_id: str) -> str:
    """hash · `judged`: messages whose address turned out good or bad, `invalid` of them bad, since the last resume · as
    long as `job_judged`"""
    return f"est:{{p{p}}}:job:{job_id}:figures"


def job_renderings(p: int, job_id: str) -> str:
    """hash · ordinal → 1 if its mail could not be made, else 0, of the first hundred messages of the job that had an
    outcome since the last resume (`services.queueing.renderings`) · as long as `job_judged`"""
    return f"est:{{p{p}}}:job:{job_id}:renderings"


def tenant_figures(p: int, tenant: str) -> str:
    """hash · `delivered:<day>`, `complaints:<day>`: of the tenant's bulk in this partition, by day since 1970 (UTC) ·
    400 days after the last, a day until it is of no more use"""
    return f"est:{{p{p}}}:figures:{tenant}"


def warned(tenant: str, day: int) -> str:
    """string · the tenant was warned on that day · 2 days"""
    return f"est:{{meta}}:warned:{tenant}:{day}"


# Stops


def stops() -> str:
    """hash, `job:<id>`, `tenant:<name>`, `site:<name>` or `source:<name>@<site>` → why it is not sent (msgpack,
    `shared.redis.stops`) · until resumed, or until the job has ended"""
    return "est:{meta}:stops"


def resumes() -> str:
    """hash, `job:<id>` or `tenant:<name>` → how often it was resumed: figures of before do not stop it again · as
    long as the job; of a tenant for ever"""
    return "est:{meta}:resumes"


def cancels() -> str:
    """hash, `job:<id>`, `tenant:<name>` or `site:<name>` → what of it is cancelled (msgpack, `shared.redis.cancels`) ·
    until everything that it is about has its end"""
    return "est:{meta}:cancels"


def moves() -> str:
    """hash, site or site · tenant → the pool by which its mail leaves (msgpack, `shared.redis.moves`) · until taken
    back"""
    return "est:{meta}:moves"


def pools() -> str:
    """hash, pool of source addresses → 1 · those that relays told of when they began · for ever"""
    return "est:{meta}:pools"


# Ready queues, in the partition of the site: those of each channel are apart, so that nobody is handed a message that
# leaves by another


def enqueued(p: int, channel: Channel, job_id: str, first_ordinal: int) -> str:
    """string · this partition's share of the chunk is in its ready queues: a repeat does nothing · 7 days"""
    return f"est:{{p{p}}}:{channel}:enqueued:{job_id}:{first_ordinal}"


def alone(key: str) -> str:
    """The same key of what is tried alone, since relays died with it in hand: sites, relays, expiries, sweeps, streams,
    turns, records, leases, their numbers and the wake (`shared.redis.ready`) · as the key itself"""
    return key.replace("}:", "}:alone:", 1)


def sites(p: int, channel: Channel) -> str:
    """zset, site → ms · sites that have ready messages, and from when they may be served · while they have"""
    return f"est:{{p{p}}}:{channel}:sites"


def urgent(p: int, channel: Channel) -> str:
    """zset, site → ms · those of the sites that have messages in lane 0, which go before all others · while they
    have"""
    return f"est:{{p{p}}}:{channel}:urgent"


def ready_prefix(p: int, channel: Channel) -> str:
    """What a ready stream begins with; lane, site and queue follow. Scripts put them together."""
    return f"est:{{p{p}}}:{channel}:ready:"


def ready(p: int, channel: Channel, lane: int, site: str, queue: str) -> str:
    """stream of Ready · messages due at the site, lane 0 before lane 1; `queue` is the tenant, or tenant/job for a job
    with a rate of its own · an entry until it is leased"""
    return f"{ready_prefix(p, channel)}{lane}:{site}:{queue}"


def turns_prefix(p: int, channel: Channel) -> str:
    """What the turns of a lane of a site begin with; lane and site follow."""
    return f"est:{{p{p}}}:{channel}:turns:"


def turns(p: int, channel: Channel, lane: int, site: str) -> str:
    """zset, queue → ms · the queues of a lane of a site that have messages, by when they were served last, or, when
    they are held, may be served again · while they have"""
    return f"{turns_prefix(p, channel)}{lane}:{site}"


def holds(p: int, channel: Channel) -> str:
    """zset, site or site · queue → ms · until when nothing of it is handed out · until then, and the next lease"""
    return f"est:{{p{p}}}:{channel}:holds"


def site_prefix(p: int, channel: Channel) -> str:
    """What the record of a site begins with; the site follows."""
    return f"est:{{p{p}}}:{channel}:site:"


def site(p: int, channel: Channel, name: str) -> str:
    """hash · `leased`: messages in the hands of relays; `urgent`: those of lane 0 among them; `turn<lane>`: what is
    left of the turn that was cut short, and of which queue · while messages of it are in hand, or a turn is cut"""
    return f"{site_prefix(p, channel)}{name}"


def expiries(p: int, channel: Channel) -> str:
    """zset, lane · site · queue → ms · when a ready queue is looked through for messages that are over: after the
    first of them is · while the queue has messages that expire"""
    return f"est:{{p{p}}}:{channel}:expiries"


def sweeps(p: int, channel: Channel) -> str:
    """hash, lane · site · queue → last entry seen, first expiry among those seen · how far a ready queue has been
    looked through · until it is at its end"""
    return f"est:{{p{p}}}:{channel}:sweeps"


def parked_prefix(p: int, channel: Channel) -> str:
    """The job follows: zset, lane · site · queue · expires_at · Ready → expires_at, or infinite · messages of a stopped
    job, taken out of their ready queues · until the job goes on, or they are over"""
    return f"est:{{p{p}}}:{channel}:parked:"


def parked_jobs(p: int, channel: Channel) -> str:
    """zset, job → the first expires_at of its parked messages · while it has any"""
    return f"est:{{p{p}}}:{channel}:parked_jobs"


def cancel_walk(p: int, channel: Channel, mark: str, since_ms: int) -> str:
    """hash, lane · site · queue → the last entry that was looked at for what a mark of that time cancels; `(rank)` and
    `(again)` of what waits for another attempt, and, followed by a job, of what is parked of it · a day after the last
    look"""
    return f"est:{{p{p}}}:{channel}:cancel_walk:{since_ms}:{mark}"


def retry(p: int, channel: Channel) -> str:
    """zset, lane · site · queue · expires_at · Ready → ms · messages that wait for their next attempt · until due"""
    return f"est:{{p{p}}}:{channel}:retry"


def leased_prefix(p: int, channel: Channel) -> str:
    """What the leases of a relay begin with; the relay's id follows."""
    return f"est:{{p{p}}}:{channel}:leased:"


def leased(p: int, channel: Channel, relay: str) -> str:
    """hash, lease number → lane · site · queue · expires_at, and take-overs · Ready · what this relay has in hand ·
    until recorded, or until another relay takes it because the lease of this one ended"""
    return f"{leased_prefix(p, channel)}{relay}"


def relays(p: int, channel: Channel) -> str:
    """zset, relay → ms until which its leases hold · the relays alive · until the lease is over and taken over"""
    return f"est:{{p{p}}}:{channel}:relays"


def lease_number(p: int, channel: Channel) -> str:
    """string · the number of the last lease, not below its time in microseconds, so that each has its own · for
    ever"""
    return f"est:{{p{p}}}:{channel}:lease_number"


def wake(p: int, channel: Channel) -> str:
    """stream of one entry · tells waiting relays that a site of this partition has become due · for ever"""
    return f"est:{{p{p}}}:{channel}:wake"


# Limits: what is counted over all relays. One tag, so that several limits at once are judged exactly


def limit(name: str) -> str:
    """hash · by rate, when it will be empty of what was permitted (GCRA; µs since 1,700,000,000 s); `used` of a quota
    `until` ms · until it is empty, and its quota over"""
    return f"est:{{limits}}:limit:{name}"


def slots(name: str) -> str:
    """zset, owner/number of a connection → ms until which it holds · connections under a limit · while any holds"""
    return f"est:{{limits}}:slots:{name}"


def wanted(name: str) -> str:
    """string · the relay that was last refused a connection by this limit, so that others give up idle ones ·
    2 seconds"""
    return f"est:{{limits}}:wanted:{name}"


def paces() -> str:
    """hash, site and source → what is known of its pace (`shared.words.pace`; msgpack) · until half an hour
    has passed without a refusal"""
    return "est:{limits}:paces"


def rests() -> str:
    """hash, site and source → ms until which the site gets nothing from this source · until then"""
    return "est:{limits}:rests"


def single_connections() -> str:
    """hash, site and source → ms until which there is one connection alone · until then"""
    return "est:{limits}:single_connections"


def pace_changes() -> str:
    """string · counts the changes of the three above, so that relays read them only when there is news · for ever"""
    return "est:{limits}:pace_changes"


def attempts_prefix() -> str:
    """The number of five seconds follows: hash, site and source → messages that were accepted (and refused, under `-`)
    in them · 2 minutes. Scripts put them together."""
    return "est:{limits}:attempts:"


def attempts(bucket: int) -> str:
    """The hash of these five seconds."""
    return f"{attempts_prefix()}{bucket}"


def last_replies(site: str) -> str:
    """list of JSON · what the site said last when it took no mail, the latest first (`shared.redis.heard`) · 7 days
    after the last"""
    return f"est:{{limits}}:replies:{site}"


def limits_of(site: str) -> str:
    """string · under which limits mail is sent to the site, in words · 7 days after a relay began to send there"""
    return f"est:{{limits}}:limits_of:{site}"


def dialogues() -> str:
    """hash, site → which of the next sessions with it an operator wants to see (msgpack, `shared.redis.dialogues`) · 70
    minutes after the last was asked for"""
    return "est:{limits}:dialogues"


def dialogue(request: str) -> str:
    """stream · what was said in the sessions of a request, line by line (msgpack), the last 20,000 · 10 minutes after
    the last line"""
    return f"est:{{limits}}:dialogue:{request}"


def dialogue_taken(request: str) -> str:
    """string · how many sessions of a request have begun · 70 minutes"""
    return f"est:{{limits}}:dialogue_taken:{request}"


# Who must not be mailed, in the partition of the address


def suppressions(p: int, tenant: str) -> str:
    """map of addresses (`shared.redis.addressed`: a hash, and below it its buckets), normalised address → its entries
    (msgpack, `shared.redis.suppression`) · the tenant's suppression list, "" for the operator's, which holds for all ·
    until removed"""
    return f"est:{{p{p}}}:suppressions:{tenant}"


def suppressions_said(p: int, tenant: str) -> str:
    """map of addresses, normalised address → of each of its entries what listed it, and what was said (msgpack), where
    there is something · as long as the entry"""
    return f"est:{{p{p}}}:suppressions_said:{tenant}"


def suppressions_for_all() -> str:
    """string · an operator has listed an address for every tenant: until then nobody looks for that · for ever"""
    return "est:{meta}:suppressions_for_all"


def suppression_applied(p: int, event_id: str, occurred_at: int) -> str:
    """string · this fact is on the list: a repeat of it does not list again an address removed since · 7 days"""
    return f"est:{{p{p}}}:suppression_applied:{event_id}:{occurred_at}"


def former_suppressed(p: int, tenant: str) -> str:
    """hash, normalised address → its record (msgpack) · a suppression list as programs of schema 1 keep it, until it is
    converted (`shared.redis.conversion`) · a day longer, for those of them that still look there"""
    return f"est:{{p{p}}}:suppressed:{tenant}"


def former_suppressed_index(p: int, tenant: str) -> str:
    """zset, normalised address, score 0 · addresses of that list which are to be converted · until they are"""
    return f"est:{{p{p}}}:suppressed_index:{tenant}"


# Lists of a tenant, in the partition of the address


def lists(p: int, tenant: str) -> str:
    """set of names · the tenant's lists that an address of this partition is on, or has left
    (`shared.redis.members`) · while there is one"""
    return f"est:{{p{p}}}:lists:{tenant}"


def list_map(p: int, tenant: str, name: str, state: str) -> str:
    """map of addresses (`shared.redis.addressed`), normalised address → ms · who `joined` the list, or has `left` it,
    and when; its name as a SHA-1, since it may have any characters · until they do the other, or are forgotten"""
    digest = sha1(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{lists(p, tenant)}:{digest}:{state}"


# Rules of who must not be mailed, in one place: a change is seen by the version that every check asks for


def rules(tenant: str) -> str:
    """hash, pattern → the rule (msgpack, `shared.words.rules`) · the tenant's rules; of the tenant "", the operator's,
    which hold for all · until removed"""
    return f"est:{{meta}}:rules:{tenant}"


def rule_versions() -> str:
    """hash, tenant → the version of its rules, another one with each change · of those who ever had any · for ever"""
    return "est:{meta}:rule_versions"


# Soft bounces in a row, and after how many of them an address is listed


def bounce_counts(p: int, tenant: str) -> str:
    """map of addresses (`shared.redis.addressed`), normalised address → its soft bounces in a row
    (`services.suppression.escalation`) · until a sign of life is eight days old, or the last bounce half a year"""
    return f"est:{{p{p}}}:bounce_counts:{tenant}"


def escalation() -> str:
    """hash, tenant → after how many soft bounces an address is listed (msgpack), where that is not what the settings
    say · until the tenant takes it back"""
    return "est:{meta}:escalation"


# Marketing pressure: how many mails each address got lately


def pressure(p: int, tenant: str) -> str:
    """The base of hashes, `<base>:<number>`, digest of an address → the mails that it got, ten bytes each
    (`shared.redis.pressure`); "" → when (s) the hash was cleaned last · the longest period of the tenant's rules after
    the last mail that was counted there"""
    return f"est:{{p{p}}}:pressure:{tenant}"


def pressure_rules() -> str:
    """hash, tenant → at most how many mails in how many days (msgpack, `shared.words.pressure.Rules`) · until the
    tenant takes them back"""
    return "est:{meta}:pressure_rules"


def once(p: int, tenant: str) -> str:
    """The base of hashes, `<base>:<number>`, a recipient in an operation (`shared.words.once`) → the message of it that
    they got, ten bytes (`shared.redis.once`); "" → when (s) the hash was cleaned last · 90 days after the last message
    that was counted there"""
    return f"est:{{p{p}}}:once:{tenant}"


def seed_lists() -> str:
    """hash, tenant → the addresses that get a copy of each of its bulk jobs (msgpack list) · until the tenant takes
    them back"""
    return "est:{meta}:seed_lists"


# Who was erased, and who is being erased


def erased(p: int, tenant: str) -> str:
    """map of addresses (`shared.redis.addressed`), keyed hash of an address → its erasure (msgpack,
    `shared.redis.erased`) · for ever: it is what is left of who was erased"""
    return f"est:{{p{p}}}:erased:{tenant}"


def erasing_tenants() -> str:
    """set of tenants that have ever erased an address · for ever"""
    return "est:{meta}:erasing_tenants"


def erasures(tenant: str) -> str:
    """hash, keyed hash of an address → the address, when its erasure was asked for, and of how many messages it was
    the recipient so far (msgpack, `services.suppression.erasing`) · until it is out of every job"""
    return f"est:{{meta}}:erasures:{tenant}"


def erasure_walk(tenant: str) -> str:
    """string · how far the tenant's jobs are looked through for who is to be erased (msgpack) · while there is
    anybody"""
    return f"est:{{meta}}:erasure_walk:{tenant}"


# Who is erased by age


def interactions(p: int, tenant: str) -> str:
    """map of addresses (`shared.redis.addressed`), normalised address → the day since 1970 (UTC) on which somebody last
    clicked, opted in or left, 0 for none, and the day on which the tenant was warned that it will be erased (msgpack,
    `services.suppression.retention`) · until the person is erased, by request or by retention"""
    return f"est:{{p{p}}}:interactions:{tenant}"


def usual_hours(p: int, tenant: str) -> str:
    """map of addresses (`shared.redis.addressed`), normalised address → at which hours of the day somebody opened and
    clicked in bulk (`shared.words.usual_hours`) · `suppression.usual_hours_days` after the last of them, or until they
    withdraw their consent to be tracked or are erased"""
    return f"est:{{p{p}}}:usual_hours:{tenant}"


def retention_rules() -> str:
    """hash, tenant → after how many years without an interaction its addresses are erased (msgpack,
    `services.suppression.retention.Rule`), where that is not what the settings say · until the tenant takes it back"""
    return "est:{meta}:retention_rules"


def retention_run() -> str:
    """string · a process has looked for who is to be erased by age · an hour"""
    return "est:{meta}:retention_run"


# Consent: what addresses have agreed to, and the proof of it


def consents(p: int, tenant: str) -> str:
    """map of addresses (`shared.redis.addressed`), normalised address → what they agreed to (msgpack,
    `shared.words.consent.State`) · until the person is erased, by request or by retention"""
    return f"est:{{p{p}}}:consents:{tenant}"


def consent_log(p: int, tenant: str, address: str) -> str:
    """list of entries (msgpack, `shared.redis.consents.Entry`), the oldest first · who said what, when, from where and
    under which text; appended to, never changed · as long as the state that it proves"""
    return f"est:{{p{p}}}:consent_log:{tenant}:{address}"


def consent_applied(p: int, event_id: str) -> str:
    """string · this fact is in the log: a repeat of it does nothing · 7 days"""
    return f"est:{{p{p}}}:consent_applied:{event_id}"


def consent_rules() -> str:
    """hash, tenant → what it decided about consent (msgpack, `shared.words.consent.Rules`), "" where it has consents
    and decided nothing · for ever"""
    return "est:{meta}:consent_rules"


def looks() -> str:
    """hash, tenant → how its pages look to recipients (msgpack, `shared.words.look.Look`) · until the tenant takes it
    back"""
    return "est:{meta}:looks"


def web_tracking() -> str:
    """hash, tenant → on which sites of theirs what their recipients do may be recorded, and what of it (msgpack,
    `shared.words.visits.WebTracking`), "" → a mark that is another after each change · until the tenant changes it"""
    return "est:{meta}:web_tracking"


def untracked() -> str:
    """hash, mark and tenant → when (ms) they withdrew their consent to be tracked, or, negative, gave it again
    (`shared.redis.untracked`) · for ever: their mails stay"""
    return "est:{meta}:untracked"


def untracked_changes() -> str:
    """stream · what was written into `untracked`, for trackers and relays to follow · the last 10,000 or so"""
    return "est:{meta}:untracked_changes"


# Imports of the suppression list, in the partition of the tenant. One script writes the first two at the beginning


def imports_prefix(p: int, tenant: str) -> str:
    """What the key of an import of the tenant begins with; its id follows."""
    return f"est:{{p{p}}}:import:{tenant}:"


def import_(p: int, tenant: str, name: str) -> str:
    """string · how far an import has come, and what became of its lines (`services.suppression.moving.imports`)
    · 7 days after it was said last, or until twenty came after it"""
    return f"{imports_prefix(p, tenant)}{name}"


def imports(p: int, tenant: str) -> str:
    """zset, id of an import → ms at which it began · the last twenty of the tenant · 7 days after the last"""
    return f"est:{{p{p}}}:imports:{tenant}"


def import_reports_prefix(p: int, tenant: str) -> str:
    """What the key of a report begins with; the id of its import follows."""
    return f"est:{{p{p}}}:import_report:{tenant}:"


def import_report(p: int, tenant: str, name: str) -> str:
    """string · the report of an import by line, as CSV (zlib) · as long as the import"""
    return f"{import_reports_prefix(p, tenant)}{name}"


# What became of the messages of a job, in the job's partition


def job_states(p: int, job_id: str) -> str:
    """string, one byte per ordinal · the state of each message (`services.reports.state`) · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:states"


def job_counts(p: int, job_id: str) -> str:
    """hash, name → count · what the job's report shows · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:counts"


def job_bitmap(p: int, job_id: str, what: str) -> str:
    """bitmap by ordinal · who opened, clicked (at all, and per position), complained, left · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:bits:{what}"


def job_clicks(p: int, job_id: str) -> str:
    """hash, ordinal → the latest clicks of the message, by which they are judged late (`store_apply.lua`) · 10 minutes
    after the last of them"""
    return f"est:{{p{p}}}:job:{job_id}:clicks"


def job_timeline(p: int, job_id: str, bucket: int) -> str:
    """string of records of fixed length · what happened to 32 messages, and when · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:timeline:{bucket}"


def job_statistics(p: int, job_id: str) -> str:
    """hash, what is counted (`shared.redis.statistics`) → count · the job's statistics, hour by hour, and by what
    tells facts apart · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:statistics"


def job_places(p: int, job_id: str) -> str:
    """string, two bytes per ordinal · the provider and the source (their numbers in `statistics_names`) by which the
    message was delivered · as long as the job"""
    return f"est:{{p{p}}}:job:{job_id}:places"


def statistics_names(p: int) -> str:
    """hash, a kind's letter and a name → its number, `#` and the letter → how many there are · providers, sources and
    words in statistics, 254 of each at most (`services.reports.cells`) · for ever"""
    return f"est:{{p{p}}}:statistics_names"


def statistics_waiting(p: int) -> str:
    """list (msgpack) · what batches of facts added up to, until it is put away in statistics
    (`services.reports.folding`) · for a second or two"""
    return f"est:{{p{p}}}:statistics_waiting"


def statistics_folded(p: int) -> str:
    """string · how many of these have been put away · for ever"""
    return f"est:{{p{p}}}:statistics_folded"


def statistics(p: int, tenant: str, day: int) -> str:
    """hash, what is counted (`shared.redis.statistics`) → count · the tenant's statistics of a day since 1970 (UTC),
    hour by hour, of the jobs of this partition · `reports.statistics_days` after the day; where there is to be an
    archive, not before that has it"""
    return f"est:{{p{p}}}:statistics:{tenant}:{day}"


def statistics_unarchived(p: int) -> str:
    """hash, tenant/day → how many batches had been put away when it changed last, and until when (ms) it is kept · days
    of statistics that the archive does not have as they are (`shared.redis.unarchived`) · until it has"""
    return f"est:{{p{p}}}:statistics_unarchived"


def usage(p: int, tenant: str, window: int) -> str:
    """hash, word and day → number · what the tenant used in 32 days, day by day: its mails by the partition of their
    job, its calls and bytes by that of its name (`shared.redis.usage`) · 25 months after the last of these days"""
    return f"est:{{p{p}}}:usage:{tenant}:{window}"


def calls_counted(p: int, process: str) -> str:
    """string · the number of the last batch of calls that a process has added to `usage`: a repeat adds nothing · a day
    after it"""
    return f"est:{{p{p}}}:calls_counted:{process}"


def meter() -> str:
    """string · a process has just read how much each tenant keeps (`services.reports.metering`) · 50 seconds"""
    return "est:{meta}:meter"


def statistics_kept() -> str:
    """hash: `days`, for how many statistics are kept; `since`, the first day since 1970 of which all are here, where
    they were kept for fewer before · for ever"""
    return "est:{meta}:statistics_kept"


def reported(p: int, day: int) -> str:
    """set of 8-byte event ids · counted facts that have no room in a timeline, by the day they happened · 2 days after
    the last of them"""
    return f"est:{{p{p}}}:reported:{day}"


# Webhooks: what is told to other systems. What belongs to an endpoint is in the partition of its id


def webhooks(tenant: str) -> str:
    """hash, id of an endpoint → its record (msgpack, `services.webhooks.endpoints`) · until removed"""
    return f"est:{{meta}}:webhooks:{tenant}"


#: In place of a tenant's name: what changed last, of any tenant.
LATEST = ""


def webhook_versions() -> str:
    """hash, tenant, or `LATEST` → another text after each change of endpoints; of those who ever had one · for ever"""
    return "est:{meta}:webhook_versions"


def webhook_replays() -> str:
    """hash, id of an endpoint → how far what it is told again of a period has come (msgpack) · until it is told"""
    return "est:{meta}:webhook_replays"


def webhook_reader(p: int) -> str:
    """string · the process that alone reads the events of this partition for endpoints, so that their order stays · 15
    seconds after it was last heard of"""
    return f"est:{{p{p}}}:webhook_reader"


def webhook_due(p: int) -> str:
    """zset, id of an endpoint → ms from which on somebody is to look after it · while something waits for it"""
    return f"est:{{p{p}}}:webhook_due"


def webhook_lease(p: int, endpoint: str) -> str:
    """string · the process that alone sends to this endpoint · 15 seconds after it was last heard of"""
    return f"est:{{p{p}}}:webhook:{endpoint}:lease"


def webhook_queue(p: int, endpoint: str) -> str:
    """stream · events that wait for the endpoint, rendered; bounded by `webhooks.queue_events` · an entry until it is
    taken, or given up"""
    return f"est:{{p{p}}}:webhook:{endpoint}:queue"


def webhook_aside(p: int, endpoint: str) -> str:
    """hash, id of a delivery → its attempts, when it is due, its entries in the queue (msgpack) · until it is taken or
    given up"""
    return f"est:{{p{p}}}:webhook:{endpoint}:aside"


def webhook_state(p: int, endpoint: str) -> str:
    """hash · how the endpoint fares: since when it fails, until when it rests, whether it is disabled, and why; what
    was delivered, given up and dropped; which batch came last from each partition · until the endpoint is removed"""
    return f"est:{{p{p}}}:webhook:{endpoint}:state"


def webhook_failed(p: int, endpoint: str) -> str:
    """stream · events that were given up, for a replay, the last 10,000 or so · `webhooks.log_days` after the last"""
    return f"est:{{p{p}}}:webhook:{endpoint}:failed"


def webhook_log(p: int, endpoint: str, kind: Literal["taken", "failed"]) -> str:
    """stream · the last 500 or so attempts that went well, or did not, with request and answer (msgpack) ·
    `webhooks.log_days` after the last"""
    return f"est:{{p{p}}}:webhook:{endpoint}:log:{kind}"


# Drops


def drops(tenant: str) -> str:
    """hash, name of a drop → its record (msgpack, `services.reports.drops.drop`) · until removed"""
    return f"est:{{meta}}:drops:{tenant}"


def drop_versions() -> str:
    """hash, tenant → another text after each change of its drops; of those who ever had one · for ever"""
    return "est:{meta}:drop_versions"


def drop_state(tenant: str, drop: str) -> str:
    """hash · where the next period of the drop begins, which file is whole beside its place, what was written last and
    what went wrong (`services.reports.drops.drop.State`) · until the drop is removed"""
    return f"est:{{meta}}:drop:{tenant}:{drop}"


def drops_lease() -> str:
    """string · the process that writes drops; another stands by · 20 seconds after it said so last"""
    return "est:{meta}:drops_lease"


# Encryption to mail hosts


def mta_sts(p: int, domain: str) -> str:
    """string · the MTA-STS policy of a recipient domain, its id, when it was fetched (msgpack) · its max_age"""
    return f"est:{{p{p}}}:mta_sts:{domain}"


def tls_reported(p: int, day: int) -> str:
    """set of recipient domains · whose TLS sessions of this day (UTC) have been counted and not reported · 4 days"""
    return f"est:{{p{p}}}:tls_reported:{day}"


def tls_report(p: int, day: int, domain: str) -> str:
    """hash, a kind of session (JSON) → count; `sent <uri>` → 1 · one day's TLS report of a domain, and who has it
    · until it is sent, at most 4 days"""
    return f"est:{{p{p}}}:tls_report:{day}:{domain}"


def tls_report_lock(p: int, day: int, domain: str) -> str:
    """string · a process tries to send this report, or has tried · until it may be tried again"""
    return f"est:{{p{p}}}:tls_report_lock:{day}:{domain}"


# The pages for people


def report_links(p: int, job_id: str) -> str:
    """sorted set of links to the job's report that were made for somebody without a key (msgpack,
    `services.reports.report_link_store`), when each is over · until the last of them is"""
    return f"est:{{p{p}}}:report_links:{job_id}"


def page_session(digest: str) -> str:
    """string · who signed in at the console, and their key, sealed (msgpack, `services.pages.sessions`), by a keyed
    hash of what their cookie holds · `pages.session_hours` after they signed in"""
    return f"est:{{meta}}:page_session:{digest}"


# The catch-all mailbox. One script writes its three keys


def mailbox_messages() -> str:
    """stream · envelope, header and size of the last `mailbox.keep` messages · until newer ones push it out"""
    return "est:{mailbox}:messages"


def mailbox_bodies() -> str:
    """hash, entry id in `mailbox_messages` → the whole message · as long as its entry"""
    return "est:{mailbox}:bodies"


def mailbox_bytes() -> str:
    """string · the size of all bodies together: they are bounded by bytes too · as long as there are any"""
    return "est:{mailbox}:bytes"


# Mail kept for inspection. One script writes its two keys


def kept_mail() -> str:
    """stream · received mail that was not understood, with the reason · the newest 10,000 within 64 MB"""
    return "est:{meta}:kept_mail"


def kept_mail_bytes() -> str:
    """string · the size of all kept mail together · as long as there is any"""
    return "est:{meta}:kept_mail_bytes"
