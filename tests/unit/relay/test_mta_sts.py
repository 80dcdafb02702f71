"""Records and policies of MTA-STS, as RFC 8461 writes them and as they must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.encryption.mta_sts import (
    MAX_AGE_S,
    MAX_POLICY_BYTES,
    StsPolicy,
    parse_policy,
    policy_id,
)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1; id=20160831085700Z"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=STSv1 ;\tid=1 ; "], "1"),
        (["v=STSv1; other=x; id=abc; more=y"], "abc"),
        (["v=spf1 -all", "v=STSv1; id=1;"], "1"),
        (["v=STSv1; id=" + "a" * 32], "a" * 32),
        ([], None),
        (["v=spf1 -all"], None),
        (["v=STSv1"], None),
        (["v=STSv1;"], None),
        (["v=STSv1; id="], None),
        (["v=STSv1; id=a-b;"], None),
        (["v=STSv1; id=" + "a" * 33], None),
        (["v=STSv1; x=y"], None),
        (["v=stsv1; id=1;"], None),
        (["V=STSv1; id=1;"], None),
        (["v=STSv2; id=1;"], None),
        (["id=1; v=STSv1;"], None),
        ([" v=STSv1; id=1;"], None),
        (["v=STSv1; id=1; nonsense"], None),
        (["v=STSv1; id=1;;"], None),
        (["v=STSv1; id=1;", "v=STSv1; id=1;"], None),
        (["v=STSv1; id=1;", "v=STSv1; broken"], None),
    ],
)
def test_a_record_tells_the_id_of_the_policy(texts: list[str], expected: str | None) -> None:
    assert policy_id(texts) == expected


POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
PARSED = StsPolicy("enforce", ("mail.example.com", "*.example.net"), 604_800)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (POLICY, PARSED),
        (POLICY.replace(b"\r\n", b"\n"), PARSED),
        (POLICY.removesuffix(b"\r\n"), PARSED),
        (POLICY.replace(b": ", b":"), PARSED),
        (POLICY.replace(b"\r\nmode", b"\r\n\r\nmode") + b"\r\n \r\n", PARSED),
        (POLICY.replace(b": ", b": \t "), PARSED),
        (POLICY.replace(b"\r\n", b"  \r\n"), PARSED),
        (b"max_age: 604800\nmx: mail.example.com\nmx: *.example.net\nmode: enforce\nversion: STSv1\n", PARSED),
        (POLICY + b"extension-1.x_y: caf\xc3\xa9: yes\n", PARSED),
        (POLICY + b"mode: none\nversion: STSv2\nmax_age: never\n", PARSED),
        (POLICY.replace(b"mail.example.com", b"MAIL.Example.COM."), PARSED),
        (POLICY.replace(b"enforce", b"testing"), StsPolicy("testing", PARSED.mx, 604_800)),
        (b"version: STSv1\nmode: none\nmax_age: 86400\n", StsPolicy("none", (), 86_400)),
        (POLICY.replace(b"604800", b"9999999999"), StsPolicy("enforce", PARSED.mx, MAX_AGE_S)),
        (POLICY.replace(b"604800", b"0"), StsPolicy("enforce", PARSED.mx, 0)),
    ],
)
def test_a_policy_is_read_as_it_is_written(body: bytes, expected: StsPolicy) -> None:
    assert parse_policy(body) == expected


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "version"),
        (b"<html>not found</html>", "line 1 is no field"),
        (POLICY.replace(b"version: STSv1\r\n", b""), "version"),
        (POLICY.replace(b"STSv1", b"STSv2"), "version"),
        (POLICY.replace(b"STSv1", b"stsv1"), "version"),
        (POLICY.replace(b"enforce", b"report"), "mode"),
        (POLICY.replace(b"enforce", b"Enforce"), "mode"),
        (POLICY.replace(b"mode: enforce\r\n", b""), "mode"),
        (POLICY.replace(b"max_age: 604800\r\n", b""), "max_age"),
        (POLICY.replace(b"604800", b"-1"), "max_age"),
        (POLICY.replace(b"604800", b"1e6"), "max_age"),
        (POLICY.replace(b"604800", b"12345678901"), "max_age"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\n", "no mx"),
        (POLICY.replace(b"*.example.net", b"*"), "mx"),
        (POLICY.replace(b"*.example.net", b"*.*.net"), "mx"),
        (POLICY.replace(b"*.example.net", b"mail.*.net"), "mx"),
        (POLICY.replace(b"*.example.net", b"*example.net"), "mx"),
        (POLICY.replace(b"*.example.net", b""), "mx"),
        (POLICY.replace(b"*.example.net", b"a b"), "mx"),
        (POLICY.replace(b"mode:", b"mode :"), "line 2 is no field"),
        (POLICY + b"\xff", "UTF-8"),
        (POLICY + b"x: " + b"y" * MAX_POLICY_BYTES, "bytes"),
        (POLICY + b"mx: a.example\n" * 300, "mx"),
    ],
)
def test_what_is_no_policy_is_refused_in_words(body: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_policy(body)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("mail.example.com", True),
        ("a.example.net", True),
        ("example.net", False),
        ("a.b.example.net", False),
        ("mail.example.com.evil.example", False),
        ("xmail.example.com", False),
        ("example.com", False),
    ],
)
def test_a_policy_names_hosts_by_name_or_one_label_below(host: str, named: bool) -> None:
    assert PARSED.names(host) == named


def test_a_report_quotes_a_policy_line_by_line() -> None:
    assert parse_policy("\n".join(PARSED.published).encode()) == PARSED


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda tail: POLICY + tail))
def test_whatever_a_host_serves_is_a_policy_or_a_value_error(body: bytes) -> None:
    try:
        policy = parse_policy(body)
    except ValueError:
        return
    assert policy.mx or policy.mode == "none"
