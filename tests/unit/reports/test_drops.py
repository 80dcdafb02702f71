"""Which period of a drop is due, what its file is called and has in it, and where it may go."""

import csv
import io
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from services.reports.drops import drop as deciding
from services.reports.drops import periods, ssh_keys
from services.reports.drops.drop import Drop, State, Wait, Work, is_name, retry_ms, work
from services.reports.drops.periods import DAY_MS, HOUR_MS, SETTLE_MS, Period, Schedule
from services.reports.drops.rows import COLUMNS, USUAL, Writer
from services.reports.drops.target import Folder, Server, parse
from shared.net.outside import Policy, Refused
from shared.tabular import cells
from shared.words import events, public

NINE = int(datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp() * 1000)
POLICY = Policy(ports=frozenset((22,)))


def a_drop(schedule: Schedule = "hourly", hour: int = 0) -> Drop:
    return Drop("acme", "events", "events", "crm/in", schedule, hour)


# Periods


def test_files_are_named_by_where_their_period_begins() -> None:
    hourly = periods.containing("hourly", 0, NINE + 1)
    daily = periods.containing("daily", 6, NINE)

    assert periods.file_name("acme", "events", "hourly", hourly) == "acme-events-2026-01-31T09.csv"
    assert periods.file_name("acme", "events", "daily", daily) == "acme-events-2026-01-31.csv"
    assert daily == Period(NINE - 3 * HOUR_MS, NINE + 21 * HOUR_MS)


CHANGES = st.lists(st.tuples(st.sampled_from(["hourly", "daily"]), st.integers(0, 23)), min_size=1, max_size=20)


@given(CHANGES, st.integers(0, 400_000))
def test_whatever_is_changed_meanwhile_there_is_neither_gap_nor_overlap_and_no_name_comes_twice(
    changes: list[tuple[Schedule, int]], hour_of_beginning: int
) -> None:
    begin = periods.containing(*changes[0], hour_of_beginning * HOUR_MS).begin_ms
    names = set()
    for schedule, hour in changes:
        period = periods.following(schedule, hour, begin)
        assert period.begin_ms == begin
        assert 0 < period.end_ms - begin <= DAY_MS
        names.add(periods.file_name("acme", "events", schedule, period))
        begin = period.end_ms

    assert len(names) == len(changes)


def test_a_change_makes_one_period_shorter_and_names_it_by_its_hour() -> None:
    six = periods.containing("daily", 6, NINE).end_ms

    shorter = periods.following("daily", 9, six)

    assert periods.label("daily", shorter) == "2026-02-01T06"
    assert periods.label("daily", periods.following("daily", 9, shorter.end_ms)) == "2026-02-01"


# What is done now


def test_a_period_is_due_when_it_is_over_and_settled() -> None:
    state = State(next=NINE)
    due = NINE + HOUR_MS + SETTLE_MS

    assert work(a_drop(), state, due - 1) == Wait(due)
    assert work(a_drop(), state, due) == Work(Period(NINE, NINE + HOUR_MS), "acme-events-2026-01-31T09.csv")


def test_what_is_being_placed_comes_first_with_the_period_that_it_had() -> None:
    state = State(next=NINE, placing="acme-events-2026-01-31T09.csv", placing_end=NINE + HOUR_MS, again=NINE)

    found = work(a_drop("daily", 6), state, NINE + 2 * HOUR_MS)

    assert found == Work(Period(NINE, NINE + HOUR_MS), state.placing, is_placing=True)


def test_what_was_asked_for_is_written_once_its_period_is_over() -> None:
    state = State(next=NINE + HOUR_MS, again=NINE + 5)
    settled = NINE + HOUR_MS + SETTLE_MS

    assert work(a_drop(), state, settled - 1) == Wait(settled)
    assert work(a_drop(), state, settled) == Work(
        Period(NINE, NINE + HOUR_MS), "acme-events-2026-01-31T09.csv", is_again=True
    )


def test_what_failed_rests_longer_and_longer_up_to_an_hour() -> None:
    waits = [retry_ms(failures, 0, 0.0) // 1000 for failures in range(1, 10)]

    assert waits == [60, 120, 300, 600, 1_800, 3_600, 3_600, 3_600, 3_600]
    assert retry_ms(1, 0, 0.999) < 66_000
    assert isinstance(work(a_drop(), State(next=0, retry_at=NINE + 1), NINE), Wait)


def test_how_late_it_is_tells_the_oldest_file_that_is_not_there() -> None:
    on_time, late = State(next=NINE), State(next=NINE - 3 * HOUR_MS)

    assert deciding.late_ms([(a_drop(), on_time), (a_drop(), late)], NINE + SETTLE_MS) == 2 * HOUR_MS
    assert deciding.late_ms([(a_drop(), on_time)], NINE) < 0
    assert deciding.late_ms([], NINE) == 0


@pytest.mark.parametrize("name", ["", "-a", "A", "a.b", "a/b", "a" * 41, "é", "a\n"])
def test_no_name_that_could_be_a_path_is_taken(name: str) -> None:
    assert not is_name(name)


# Where files go


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("crm", Folder(("crm",))),
        ("crm/in_2.x/", Folder(("crm", "in_2.x"))),
    ],
)
def test_a_folder_is_taken(text: str, found: Folder) -> None:
    assert parse(text, POLICY) == found


@pytest.mark.parametrize(
    ("text", "path", "file"),
    [
        ("sftp://est@sftp.exemple.fr", None, None),
        ("sftp://est@sftp.exemple.fr/", "/", "/a.csv"),
        ("sftp://est@Sftp.Exemple.fr:22/in/", "/in", "/in/a.csv"),
        ("sftp://est@sftp.exemple.fr/~/in", "in", "in/a.csv"),
        ("sftp://est@sftp.exemple.fr/~", "", "a.csv"),
    ],
)
def test_a_server_is_taken_with_its_path(text: str, path: str | None, file: str | None) -> None:
    if path is None:
        with pytest.raises(Refused):
            parse(text, POLICY)
        return
    found = parse(text, POLICY)

    assert isinstance(found, Server)
    assert (found.user, found.host.name, found.port) == ("est", "sftp.exemple.fr", 22)
    assert (found.path, found.path_of("a.csv")) == (path, file)


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "/etc", "../etc", "a/../b", "a//b", ".ssh", "a/.ssh", "~/x", "a\\b", "a\x00", "a\n", "é", "a b", "-a",
        "x/" * 11, "a" * 501,
        "sftp://exemple.fr/in", "sftp://a:b@exemple.fr/in", "sftp://a@b@exemple.fr/in", "sftp://-oX@exemple.fr/in",
        "sftp://a@exemple.fr/../etc", "sftp://a@exemple.fr/./x", "sftp://a@exemple.fr/a b", "sftp://a@exemple.fr/a?b",
        "sftp://a@exemple.fr/%2e%2e/x", "sftp://a@exemple.fr:0/x", "sftp://a@exemple.fr:2222/x", "ftp://a@exemple.fr/x",
        "sftp://a@127.0.0.1/x", "sftp://a@127.1/x", "sftp://a@2130706433/x", "sftp://a@0x7f000001/x",
        "sftp://a@[::1]/x", "sftp://a@[::ffff:127.0.0.1]/x", "sftp://a@169.254.169.254/x", "sftp://a@10.0.0.1/x",
        "sftp://a@192.168.1.1/x", "sftp://a@[fe80::1]/x", "sftp://a@0.0.0.0/x", "sftp://a@100.64.0.1/x",
        "file:///etc/passwd", "s3://bucket/x", "https://exemple.fr/",
    ],
)  # fmt: skip
def test_no_other_target_is_taken(text: str) -> None:
    with pytest.raises(Refused):
        parse(text, POLICY)


# Keys


def written(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def locked() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()


def test_a_key_is_made_and_its_public_half_is_a_line_for_the_server() -> None:
    made = ssh_keys.make()

    assert ssh_keys.public(made).startswith("ssh-ed25519 AAAA")
    assert ssh_keys.public(ssh_keys.read(made)) == ssh_keys.public(made)


def test_keys_that_somebody_brings_are_read_as_openssh_and_in_pem() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    assert ssh_keys.public(ssh_keys.read(written(curve))) == ssh_keys.public(ssh_keys.read(f"\n{pem}\r\n"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a private key"),
        ("ssh-ed25519 AAAA", "not a private key"),
        (written(rsa.generate_private_key(65537, 1024)), "2048 bits"),
        (locked(), "passphrase"),
    ],
)
def test_what_is_no_usable_key_is_refused_and_never_shown(text: str, why: str) -> None:
    with pytest.raises(ssh_keys.InvalidKey, match=why) as refused:
        ssh_keys.read(text)

    assert not text or text not in str(refused.value)


def test_host_keys_are_read_as_ssh_keyscan_shows_them() -> None:
    one = ssh_keys.public(ssh_keys.make()).removesuffix(" estafette")
    two = ssh_keys.public(ssh_keys.read(written(ec.generate_private_key(ec.SECP384R1())))).removesuffix(" estafette")

    text = f"# sftp.exemple.fr:22 SSH-2.0\n[sftp.exemple.fr]:22 {one}\n\n{two} a comment\n{one}\n"

    assert ssh_keys.host_keys(text) == (one, two)
    assert ssh_keys.host_keys(ssh_keys.shown((one, two))) == (one, two)


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing", "ssh-ed25519 AAAA", "ssh-ed25519 " + "A" * 60, "SHA256:abc",
        "@cert-authority * ssh-ed25519 " + "A" * 68,
    ],
)  # fmt: skip
def test_what_is_no_host_key_is_refused(text: str) -> None:
    with pytest.raises(ssh_keys.InvalidKey):
        ssh_keys.host_keys(text)


# Rows


def event(**fields: object) -> public.Event:
    fact = events.Bounced(
        event_id="e1", occurred_at=NINE, tenant="acme", job="068vjfm5s9m2rc1jqqrg", ordinal=0, email="ana@exemple.fr",
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip
    return public.event(fact, None)


def read(text: bytes) -> list[dict[str, str]]:
    """As any program reads CSV."""
    return list(csv.DictReader(io.StringIO(text.decode(), newline=""), strict=True))


def test_an_event_is_a_row_under_the_usual_heading() -> None:
    writer = Writer()

    text = writer.heading() + writer.rows([event(reply='550 5.1.1 "unknown", sorry', attempt=2)])

    [row] = read(text)
    assert tuple(row) == USUAL
    assert text.count(b"\r\n") == 2
    assert (row["type"], row["time"], row["email"]) == ("message.bounced", "2026-01-31T09:00:00.000Z", "ana@exemple.fr")
    assert row["message"] == "068vjfm5s9m2rc1jqqrg.0"
    assert row["reply"] == '550 5.1.1 "unknown", sorry'


@pytest.mark.parametrize("reply", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", "＝1", "'quoted"])
def test_no_cell_is_a_formula(reply: str) -> None:
    writer = Writer(["reply"])

    [row] = read(writer.heading() + writer.rows([event(reply=reply)]))

    assert row["reply"].startswith(("'", "\\"))
    assert cells.read(row["reply"]) == reply


@given(st.text(), st.text())
def test_any_text_stays_in_its_cell_and_is_read_back(reply: str, site: str) -> None:
    writer = Writer(["reply", "site"])
    said = [text.encode("utf-8", "replace").decode() for text in (reply, site)]

    text = writer.heading() + writer.rows([event(reply=reply, site=site)])

    assert text.count(b"\r\n") == 2
    [row] = read(text)
    assert [cells.read(row[name]) for name in ("reply", "site")] == said


def test_columns_come_as_chosen_and_what_an_event_has_not_is_empty() -> None:
    writer = Writer(["attempt", "late", "email", "url"])

    assert writer.heading() + writer.rows([event(attempt=3, late=True)]) == (
        b"attempt,late,email,url\r\n3,true,ana@exemple.fr,\r\n"
    )


def test_every_detail_of_every_event_has_a_column() -> None:
    named = {name for kind in public.TYPES for name in public.example_details(kind)}

    assert named <= set(COLUMNS)
    assert set(USUAL) <= set(COLUMNS)
