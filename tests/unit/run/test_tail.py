"""`estafette tail` prints what any reader of the streams finds."""

import json

import msgpack

from services.console import tail
from shared.words import events

CLICKED = events.Clicked(
    event_id="e", occurred_at=1, tenant="acme", job="j", ordinal=3, sequence=2, position=1, url="https://a.org/é"
)


def test_an_event_is_a_json_line_with_the_names_of_its_fields() -> None:
    fields = {b"t": b"Clicked", b"v": b"1", b"b": events.encode(CLICKED)}

    shown = json.loads(tail.line("events", "5-0", fields))

    assert (shown["stream"], shown["id"], shown["fact"], shown["version"]) == ("events", "5-0", "Clicked", 1)
    assert (shown["tenant"], shown["ordinal"], shown["position"], shown["url"]) == ("acme", 3, 1, "https://a.org/é")


def test_fields_of_a_newer_writer_are_shown_by_their_number() -> None:
    values = [*msgpack.unpackb(events.encode(CLICKED)), "new"]
    fields = {b"t": b"Clicked", b"v": b"1", b"b": msgpack.packb(values)}

    shown = json.loads(tail.line("events", "5-0", fields))

    assert shown[f"field_{len(values)}"] == "new"


def test_a_message_nobody_knows_is_shown_all_the_same() -> None:
    shown = json.loads(tail.line("events", "5-0", {b"t": b"Unheard", b"v": b"2", b"b": msgpack.packb(["x", b"\xff"])}))

    assert (shown["fact"], shown["field_1"]) == ("Unheard", "x")
