"""Every kind of problem that the API answers: its word, its one status, its title, and a sentence that says what to do.

The word is the end of `type` in the document (`urn:estafette:problem:unknown_job`), and programs go by it: it means the
same on every route and never changes. What is not there, or is another tenant's, is `unknown_<thing>` with 404. The
sentence is what the documents of the API say; what an answer tells of its own case stands in its `detail`.
"""

from typing import NamedTuple

URN = "urn:estafette:problem:"


class Kind(NamedTuple):
    """One kind of problem. The title is plain ASCII: it may stand in a status line."""

    status: int
    title: str
    sentence: str


PROBLEMS: dict[str, Kind] = {
    # Of the request as HTTP.
    "bad_request": Kind(400, "Bad request", "The request is no HTTP that can be read, or its body broke off."),
    "repeated_header": Kind(
        400, "Header given twice", "A header that has one value was given more than once; `faults` names it."
    ),
    "malformed_json": Kind(400, "Malformed JSON", "The body is not JSON."),
    "not_found": Kind(404, "Not found", "There is nothing at this path."),
    "method_not_allowed": Kind(
        405, "Method not allowed", "The path is there, the method is not: the header Allow names those that are."
    ),
    "body_too_large": Kind(
        413, "Body too large", "The body is larger than the server takes: open the job and append its recipients."
    ),
    "line_too_long": Kind(414, "Request line too long", "The path and its query are longer than any of ours."),
    "unsupported_media_type": Kind(
        415,
        "Unsupported media type",
        "The body's Content-Type, charset or Content-Encoding is none that the route takes.",
    ),
    "expectation_failed": Kind(417, "Expectation failed", "Of the header Expect only `100-continue` is known."),
    "misdirected_request": Kind(
        421, "Misdirected request", "The request's target names another host than its header Host does."
    ),
    "header_too_large": Kind(431, "Header too large", "The request's header is larger than the server reads."),
    "transfer_coding_unknown": Kind(
        501, "Transfer coding unknown", "`chunked` is the only Transfer-Encoding that is known."
    ),
    "version_not_supported": Kind(505, "HTTP version not supported", "HTTP/1.1 and HTTP/1.0 are spoken here."),
    # Who asks, and what they may.
    "no_key": Kind(401, "No key", "The request has no key: send `Authorization: Bearer <key>`."),
    "unknown_key": Kind(401, "Unknown key", "The key is not known, or was revoked."),
    "missing_scope": Kind(403, "Missing scope", "The key is good, and lacks the scope that the route asks for."),
    "key_expired": Kind(403, "Key expired", "The key was made for a time, and that is over: ask for a new one."),
    "network_not_allowed": Kind(
        403,
        "Network not allowed",
        "The key may be used from its own networks alone, and the caller is in none of them.",
    ),
    "domain_not_allowed": Kind(403, "Domain not allowed", "The key may not send from the domain that the job names."),
    "sandbox_key": Kind(
        403,
        "Sandbox key",
        "A key of the sandbox reads, and makes, fills and starts jobs of the sandbox; it touches nothing else.",
    ),
    "bound_key": Kind(
        403, "Bound key", "A key that is bound to networks, domains or a time makes no keys: they would not be."
    ),
    "other_host": Kind(
        403, "Other host", "The mailbox is read at an address of its host, or by its name, and no other name is taken."
    ),
    "other_site": Kind(403, "Other site", "The mailbox is changed from its own page, and another site asked for it."),
    # What does not fit.
    "invalid_path": Kind(422, "Invalid path", "A parameter of the path does not fit; `faults` names it."),
    "invalid_query": Kind(
        422,
        "Invalid query",
        "A parameter of the query is not known, was given twice, or does not fit; `faults` names each of them.",
    ),
    "invalid_header": Kind(422, "Invalid header", "A header that the route heeds does not fit; `faults` names it."),
    "invalid_body": Kind(
        422, "Invalid body", "The body is JSON and does not fit; `faults` has the path to what is wrong."
    ),
    "invalid_job": Kind(
        422, "Invalid job", "The job has faults, `faults` lists them (up to 100), and nothing was stored."
    ),
    "invalid_template": Kind(
        422, "Invalid template", "The template has faults, `faults` lists them, and nothing was stored."
    ),
    "invalid_result_set": Kind(
        422, "Invalid result set", "The set of recipients has faults; `faults` has the path to each."
    ),
    "result_set_too_large": Kind(
        422,
        "Result set too large",
        "More messages are in the sets that were named than are joined at once: name fewer, or smaller ones.",
    ),
    "invalid_address": Kind(
        422, "Invalid address", "The address in the path is none, or is a rule for many addresses."
    ),
    "invalid_contact": Kind(422, "Invalid contact", "The contact cannot be as asked; `faults` names what is wrong."),
    "invalid_field": Kind(422, "Invalid field", "The field cannot be as asked; `faults` names what is wrong."),
    "invalid_domain": Kind(422, "Invalid domain", "The name is no domain that mail can be sent from."),
    "invalid_sub_account": Kind(422, "Invalid sub-account", "No sub-account can be so; `detail` says why."),
    "invalid_api_key": Kind(422, "Invalid API key", "No key can be so; `detail` says all that is wrong."),
    "invalid_rule": Kind(
        422, "Invalid rule", "A rule of who must not be mailed cannot be read; of a file `faults` has each line."
    ),
    "invalid_list": Kind(422, "Invalid list", "No list can have that name."),
    "invalid_segment": Kind(
        422, "Invalid segment", "The criteria, or the name, cannot be as asked; `faults` has the path to each fault."
    ),
    "nothing_appended": Kind(
        422, "Nothing appended", "No line of the body has a recipient who can be stored; `faults` lists what was found."
    ),
    "invalid_import": Kind(
        422, "Invalid import", "The body cannot be read as a list of addresses; `faults` says why, nothing was changed."
    ),
    "no_mail": Kind(422, "No mail", "The body is empty: send the mail as it came, as message/rfc822."),
    "unknown_pool": Kind(422, "Unknown pool", "No relay knows a pool of source addresses of that name."),
    "unknown_tenant": Kind(422, "Unknown tenant", "There is no tenant of the name in the body."),
    "invalid_drop": Kind(422, "Invalid drop", "The drop cannot be as asked; `faults` names what is wrong."),
    "invalid_webhook": Kind(422, "Invalid webhook", "The endpoint cannot be as asked; `faults` names what is wrong."),
    # What is not there.
    "unknown_job": Kind(404, "Unknown job", "There is no such job (any more), or it is another tenant's."),
    "unknown_message": Kind(404, "Unknown message", "There is no such message, or it is another tenant's."),
    "unknown_template": Kind(404, "Unknown template", "There is no such template, or not in that version (any more)."),
    "unknown_report_link": Kind(
        404, "Unknown report link", "There is no such link to a report; it is over, or was taken back."
    ),
    "unknown_suppression": Kind(404, "Unknown suppression", "The address is not on the tenant's suppression list."),
    "unknown_member": Kind(404, "Unknown member", "The address neither joined nor left that list."),
    "unknown_sub_account": Kind(404, "Unknown sub-account", "The tenant has no sub-account of that name."),
    "unknown_api_key": Kind(404, "Unknown API key", "The sub-account has no key of that id."),
    "unknown_rule": Kind(404, "Unknown rule", "There is no such rule of who must not be mailed."),
    "unknown_person": Kind(404, "Unknown person", "Nothing is kept of the address."),
    "unknown_consent": Kind(404, "Unknown consent", "Nothing is known of what the address agreed to."),
    "unknown_import": Kind(404, "Unknown import", "The tenant has no import of that id, or not any more."),
    "unknown_generation": Kind(
        404, "Unknown generation", "The tenant's link keys have no generation of that number yet."
    ),
    "unknown_domain": Kind(404, "Unknown domain", "The domain is not among the tenant's sending domains."),
    "unknown_stop": Kind(404, "Unknown stop", "Nothing of that name is stopped, or it is another tenant's."),
    "unknown_entry": Kind(404, "Unknown entry", "There is no dead entry of that name, or not any more."),
    "unknown_site": Kind(
        404, "Unknown site", "Nothing waits at a site of that name, nothing holds it, and none is known."
    ),
    "unknown_contact": Kind(404, "Unknown contact", "There is no such contact, or it is another tenant's."),
    "unknown_field": Kind(404, "Unknown field", "There is no such field, or it is another tenant's."),
    "unknown_segment": Kind(404, "Unknown segment", "There is no such segment in force, or it is another tenant's."),
    "unknown_drop": Kind(404, "Unknown drop", "There is no such drop, or it is another tenant's."),
    "unknown_webhook": Kind(404, "Unknown webhook", "There is no such endpoint, or it is another tenant's."),
    "unknown_trace": Kind(404, "Unknown trace", "No sessions are followed under that id, or not any more."),
    "unknown_recipient": Kind(
        404, "Unknown recipient", "No recipient of the mail is a return path or another address of this installation."
    ),
    "unknown_mail": Kind(404, "Unknown mail", "No received mail of that id is kept, or it is another tenant's."),
    "unknown_visit": Kind(404, "Unknown visit", "No visit has that token, or its link was followed 13 months ago."),
    # Sending domains.
    "unknown_sending_domain": Kind(
        403, "Unknown sending domain", "The domain of `from` is none of the tenant's: add it with POST /v1/domains."
    ),
    "sending_domain_not_shown": Kind(
        403,
        "Sending domain not shown",
        "DNS does not show yet that the domain of `from` is the tenant's: publish, check.",
    ),
    "domain_taken": Kind(409, "Domain taken", "The domain is another tenant's: take it from there first."),
    "domain_taken_back": Kind(
        409, "Domain taken back", "An operator took the domain back: it is the operator's to give again."
    ),
    "cursor_too_old": Kind(
        410, "Cursor too old", "Events behind the cursor are not kept any more: begin anew, and some may be missed."
    ),
    "nothing_waiting": Kind(409, "Nothing waiting", "No new keys wait to be activated: rotate first."),
    "not_published": Kind(
        409, "Not published", "DNS does not show every record of the new keys yet; `faults` names those that it lacks."
    ),
    # Webhooks.
    "too_many_webhooks": Kind(
        409, "Too many webhooks", "The tenant has as many endpoints as it may: remove one first."
    ),
    "too_many_sub_accounts": Kind(409, "Too many sub-accounts", "The tenant has as many sub-accounts as it may."),
    "too_many_api_keys": Kind(
        409, "Too many API keys", "The sub-account has as many keys as it may: revoke one first."
    ),
    "too_many_drops": Kind(409, "Too many drops", "The tenant has as many drops as it may: remove one first."),
    "too_many_templates": Kind(
        409, "Too many templates", "The tenant has as many templates as it may: remove one first."
    ),
    "template_used": Kind(409, "Template used", "Other templates stand in this layout; `detail` says which."),
    "drop_disabled": Kind(409, "Drop disabled", "The drop writes nothing for now: enable it first."),
    "invalid_activity": Kind(
        422, "Invalid activity", "What would count as activity cannot be followed; `faults` says all that is wrong."
    ),
    "invalid_at_risk": Kind(
        422, "Invalid period", "The period after which contacts are at risk cannot be followed; `faults` says why."
    ),
    "contacts_disabled": Kind(409, "Contacts disabled", "This installation has no contacts."),
    "contact_exists": Kind(409, "Contact exists", "Another contact has that key of uniqueness."),
    "no_duplicates": Kind(409, "No duplicates", "The tenant does not let contacts share their key."),
    "in_use": Kind(409, "In use", "What is asked would take away what contacts have; `detail` says what."),
    "segment_kept": Kind(409, "Segment kept", "The segment is built in, or other ones use it; `detail` says which."),
    "drops_disabled": Kind(409, "Drops disabled", "This installation writes no drops."),
    "webhook_disabled": Kind(409, "Webhook disabled", "The endpoint is told nothing for now: enable it first."),
    # The state of a job, and what is stopped.
    "idempotency_key_reused": Kind(
        409, "Idempotency-Key reused", "The Idempotency-Key was used with another request in the last 24 hours."
    ),
    "import_known": Kind(409, "Import known", "The tenant has an import of that id already: choose another one."),
    "not_open": Kind(
        409, "Job not open", "The job was started: nothing is appended to it, and it is not started again."
    ),
    "not_changeable": Kind(
        409,
        "Job not changeable",
        "The job was started: what it sends, and when, stays. It is paused, resumed or cancelled, and nothing else.",
    ),
    "changed_meanwhile": Kind(
        409, "Changed meanwhile", "Somebody else changes the job at the same time: look at it, and ask again."
    ),
    "no_recipients": Kind(409, "No recipients", "The job has no recipients: append some, then start it."),
    "job_ended": Kind(409, "Job ended", "Every message of the job has its end: there is nothing to stop."),
    "not_stopped": Kind(409, "Not stopped", "The job itself is not stopped: GET /v1/stops lists what is."),
    "consent_missing": Kind(409, "Consent missing", "A breaker stopped it, and an operator has to consent first."),
    "no_consent_needed": Kind(409, "No consent needed", "Its tenant stopped it, and resumes it without an operator."),
    "already_stopped": Kind(
        409, "Already stopped", "A breaker stopped it, and nothing of it is sent: an operator consents, or does not."
    ),
    "already_over": Kind(409, "Already over", "The time until which it should hold has passed."),
    "not_suspended": Kind(409, "Not suspended", "No operator suspended it: GET /v1/stops lists what is stopped."),
    "cannot_replay": Kind(409, "Cannot replay", "It is understood no better now: it would be buried again."),
    "kept_off_list": Kind(
        409, "Kept off list", "The suppression list has an entry of that list which the recipient did not make."
    ),
    "double_opt_in_off": Kind(
        409, "Double opt-in off", "The tenant decided so (PUT /v1/consent-rules): note what people say as a consent."
    ),
    "generation_signs": Kind(
        409, "Generation signs", "New links are signed with that generation: rotate the keys before it is revoked."
    ),
    "no_generation_left": Kind(409, "No generation left", "A link has no room for the number of another generation."),
    "not_moved": Kind(409, "Not moved", "Its mail leaves by the usual pool."),
    "suppression_protected": Kind(
        409, "Suppression protected", "Only an operator takes it off, or who objects takes that back."
    ),
    "nothing_held": Kind(409, "Nothing held", "No pace, rest or hold is known of it: there is nothing to lift."),
    "too_many_report_links": Kind(
        409, "Too many report links", "The job has as many links to its report as there may be: take some back."
    ),
    # Too much, and what is not to be had now. Where it is known how long, Retry-After says so.
    "quota_exceeded": Kind(
        429, "Quota exceeded", "A quota of the tenant is used up; `quota` names it, and nothing was done."
    ),
    "engine_full": Kind(429, "Engine full", "Too much waits to be queued: try again after Retry-After."),
    "imports_busy": Kind(429, "Imports busy", "As many imports as there may be are under way: try again."),
    "results_busy": Kind(429, "Results busy", "As many sets as there may be are being joined: try again."),
    "templates_penalised": Kind(
        429,
        "Templates penalised",
        "The tenant's templates took so long that those with logic wait a moment; all others are taken.",
    ),
    "too_many_streams": Kind(429, "Too many streams", "As many live streams as there may be are open: try again."),
    "too_many_connections": Kind(429, "Too many connections", "The caller's address has too many connections here."),
    "too_many_visits": Kind(429, "Too many visits", "Pages tell more of one visitor than a person does."),
    "internal_error": Kind(500, "Internal error", "This is our fault, and it is logged."),
    "unavailable": Kind(
        503,
        "Unavailable",
        "What the answer needs cannot be had now: try again soon. A job may be stored: repeat its Idempotency-Key.",
    ),
    "archive_unavailable": Kind(
        503,
        "Archive unavailable",
        "What is asked for is older than what is at hand, and the archive cannot be searched: `detail` says why.",
    ),
    "timed_out": Kind(504, "Timed out", "What the answer needs took too long."),
}


def urn(word: str) -> str:
    """The `type` of that kind in a problem document."""
    return URN + word
