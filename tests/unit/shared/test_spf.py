"""What SPF records say of an address, against a zone as data; cases after the sections of RFC 7208."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import spf

US = "192.0.2.7"


class Zone:
    """TXT by name, addresses and mail hosts by `a:` and `mx:`; what is None does not answer."""

    def __init__(self, records: Mapping[str, Sequence[str] | None]) -> None:
        self._records = records
        self.asked = 0

    def _at(self, name: str) -> Sequence[str] | None:
        self.asked += 1
        return self._records.get(name, ())

    async def texts(self, name: str) -> Sequence[str] | None:
        return self._at(name)

    async def addresses(self, name: str) -> Sequence[str] | None:
        return self._at(f"a:{name}")

    async def mail_hosts(self, name: str) -> Sequence[str] | None:
        return self._at(f"mx:{name}")


def deep(levels: int) -> dict[str, Sequence[str] | None]:
    """Each includes the next; the last passes everybody."""
    made: dict[str, Sequence[str] | None] = {f"{n}.x": [f"v=spf1 include:{n + 1}.x -all"] for n in range(levels)}
    return {**made, f"{levels}.x": ["v=spf1 +all"], "x": ["v=spf1 include:0.x -all"]}


@pytest.mark.parametrize(
    ("records", "result"),
    [
        ({"x": ["v=spf1 ip4:192.0.2.0/24 -all"]}, "pass"),
        ({"x": ["v=spf1 ip4:192.0.2.8 -all"]}, "fail"),
        ({"x": ["v=spf1 ip4:192.0.2.8 ~all"]}, "softfail"),
        ({"x": ["v=spf1 -ip4:192.0.2.7 +all"]}, "fail"),
        ({"x": ["V=SPF1 IP4:192.0.2.7 -ALL"]}, "pass"),
        ({"x": ["v=spf1 ip6:2001:db8::/32 -all"]}, "fail"),
        ({"x": ["v=spf1 a -all"], "a:x": [US]}, "pass"),
        ({"x": ["v=spf1 a/24 -all"], "a:x": ["192.0.2.99", "2001:db8::1"]}, "pass"),
        ({"x": ["v=spf1 a:y//64 -all"], "a:y": ["192.0.2.99"]}, "fail"),
        ({"x": ["v=spf1 mx -all"], "mx:x": ["m"], "a:m": [US]}, "pass"),
        ({"x": ["v=spf1 include:y -all"], "y": ["v=spf1 ip4:192.0.2.7 -all"]}, "pass"),
        ({"x": ["v=spf1 include:y ?all"], "y": ["v=spf1 -all"]}, "neutral"),
        ({"x": ["v=spf1 ?include:y -all"], "y": ["v=spf1 +all"]}, "neutral"),
        ({"x": ["v=spf1 redirect=y"], "y": ["v=spf1 ip4:192.0.2.7 -all"]}, "pass"),
        ({"x": ["v=spf1 -all redirect=y"], "y": ["v=spf1 +all"]}, "fail"),
        ({"x": ["v=spf1 unknown=1 ip4:192.0.2.7"]}, "pass"),
        ({"x": ["v=spf1"]}, "neutral"),
        ({"x": ["v=spf10 +all", "other"]}, "none"),
        ({}, "none"),
        ({"x": ["v=spf1 +all", "v=spf1 -all"]}, "permerror"),
        ({"x": ["v=spf1 ip4:192.0.2.0/33 -all"]}, "permerror"),
        ({"x": ["v=spf1 ip4:2001:db8::1 -all"]}, "permerror"),
        ({"x": ["v=spf1 include -all"]}, "permerror"),
        ({"x": ["v=spf1 nonsense -all"]}, "permerror"),
        ({"x": ["v=spf1 include:nothing -all"]}, "permerror"),
        ({"x": ["v=spf1 include:x -all"]}, "permerror"),
        ({"x": ["v=spf1 redirect=nothing"]}, "permerror"),
        ({"x": ["v=spf1 a:e1 a:e2 a:e3 ip4:192.0.2.7 -all"]}, "permerror"),
        ({"x": ["v=spf1 mx -all"], "mx:x": [f"m{n}" for n in range(11)]}, "permerror"),
        ({"x": None}, "temperror"),
        ({"x": ["v=spf1 a -all"], "a:x": None}, "temperror"),
        ({"x": ["v=spf1 mx -all"], "mx:x": None}, "temperror"),
        ({"x": ["v=spf1 exists:%{i}.y ptr -all"]}, "fail"),
        (deep(9), "pass"),
        (deep(10), "permerror"),
    ],
)
async def test_the_record_says_of_an_address(records: Mapping[str, Sequence[str] | None], result: str) -> None:
    assert (await spf.check(US, "x", Zone(records))).result == result


async def test_ipv6_is_matched_by_its_own_networks() -> None:
    zone = Zone({"x": ["v=spf1 ip6:2001:db8::/32 -all"]})

    assert (await spf.check("2001:db8::7", "x", zone)).result == "pass"


@pytest.mark.parametrize(
    ("records", "networks"),
    [
        ({"x": ["v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::1 -all"]}, ["192.0.2.0/28", "2001:db8::1/128"]),
        ({"x": ["v=spf1 mx include:y -all ip4:1.2.3.4"], "mx:x": ["m"], "a:m": [US], "y": ["v=spf1 a"],
          "a:y": ["192.0.2.9"]}, ["192.0.2.7/32", "192.0.2.9/32"]),
        ({"x": ["v=spf1 -ip4:192.0.2.1 ?ip4:192.0.2.2 -all"]}, []),
        ({}, []),
    ],
)  # fmt: skip
async def test_whom_a_domain_lets_send(records: Mapping[str, Sequence[str] | None], networks: list[str]) -> None:
    found, _ = await spf.networks("x", Zone(records))

    assert [str(one) for one in found] == networks


async def test_a_record_that_asks_for_itself_comes_to_an_end() -> None:
    zone = Zone({"x": ["v=spf1 include:x include:x include:x -all"]})

    found = await spf.check(US, "x", zone)

    assert found.result == "permerror"
    assert zone.asked <= spf.MAX_LOOKUPS + 1


@given(st.lists(st.text(max_size=80).map(lambda text: f"v=spf1 {text}"), max_size=2))
async def test_whatever_a_record_says_there_is_an_answer(texts: list[str]) -> None:
    assert (await spf.check(US, "x", Zone({"x": texts}))).result
    await spf.networks("x", Zone({"x": texts}))
