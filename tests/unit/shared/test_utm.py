"""UTM parameters are added where a link has none of that name, and nothing else of it changes."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words.utm import Utm, added

UTM = Utm((("utm_source", "chouette"), ("utm_campaign", "soldes d'été & co")), ("exclu.fr",))
CAMPAIGN = "utm_campaign=soldes%20d%27%C3%A9t%C3%A9%20%26%20co"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.fr", f"https://a.fr?utm_source=chouette&{CAMPAIGN}"),
        ("https://a.fr/b?c=d", f"https://a.fr/b?c=d&utm_source=chouette&{CAMPAIGN}"),
        ("https://a.fr/b?", f"https://a.fr/b?utm_source=chouette&{CAMPAIGN}"),
        ("https://a.fr/b?c&", f"https://a.fr/b?c&utm_source=chouette&{CAMPAIGN}"),
        ("https://a.fr/#e?f", f"https://a.fr/?utm_source=chouette&{CAMPAIGN}#e?f"),
        ("https://a.fr/?UTM_source=x", f"https://a.fr/?UTM_source=x&{CAMPAIGN}"),
        ("https://a.fr/?utm_source=&utm_campaign=z#a", "https://a.fr/?utm_source=&utm_campaign=z#a"),
        ("https://exclu.fr/", "https://exclu.fr/"),
        ("https://www.EXCLU.fr:443/", "https://www.EXCLU.fr:443/"),
        ("https://pasexclu.fr/", f"https://pasexclu.fr/?utm_source=chouette&{CAMPAIGN}"),
        ("https://a.fr/" + "b" * 4070, "https://a.fr/" + "b" * 4070),
    ],
)
def test_parameters_are_added_where_they_are_absent(url: str, expected: str) -> None:
    assert added(url, UTM) == expected


def test_without_parameters_a_link_stays_as_it_is() -> None:
    assert added("https://a.fr/?b", None) == "https://a.fr/?b"


@given(st.text(st.sampled_from("ab=&?%2F+"), max_size=30), st.sampled_from(["", "#x", "#?&utm_source=y"]))
def test_what_was_there_is_there_still_and_twice_is_once(query: str, fragment: str) -> None:
    url = f"https://a.fr/b?{query}{fragment}"

    found = added(url, UTM)

    assert urlsplit(found).fragment == urlsplit(url).fragment
    assert found.startswith(url.partition("#")[0].rstrip("&") if query else "https://a.fr/b?")
    assert dict(parse_qsl(urlsplit(found).query))["utm_campaign"] == "soldes d'été & co"
    assert added(found, UTM) == found
