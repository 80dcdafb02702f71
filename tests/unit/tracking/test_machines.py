"""What a request says of itself decides whether a machine asked."""

import pytest

from services.tracking.machines import SIGNS, WORDS, Sign, machine

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

PEOPLE = (
    FIREFOX,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.9126; ms-office)",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.12.0",
    "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 7 Build/AP1A.240505.004)",
    "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0"
    " Mobile Safari/537.36 WhatsApp/2.24.1.78",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
    " [FBAN/FBIOS;FBAV/450.0.0.0;FBBV/123456;]",
    "Mozilla/5.0 (Linux; Android 11; CUBOT X50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
)


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.text)
def test_each_sign_finds_its_example(sign: Sign) -> None:
    assert machine("GET", sign.example) == sign.word


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_browsers_and_mail_programs_are_people(user_agent: str) -> None:
    assert machine("GET", user_agent) == ""


def test_every_word_is_a_declared_one() -> None:
    assert {sign.word for sign in SIGNS} < set(WORDS)
    assert {sign.how for sign in SIGNS} == {"is", "begins", "ends", "has"}
    assert all(sign.text == sign.text.lower() for sign in SIGNS)


def test_gmail_showing_an_image_is_told_from_gmail_fetching_it_ahead() -> None:
    shown = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
    ahead = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135"
        " Safari/537.36 Edge/12.246 Mozilla/5.0"
    )

    assert (machine("GET", shown), machine("GET", ahead)) == ("image_proxy", "prefetch")


def test_head_is_a_machine_whatever_its_user_agent() -> None:
    assert machine("HEAD", FIREFOX) == "head"


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Prefetch", "preview"])
def test_a_browser_that_says_it_fetches_ahead_is_believed(purpose: str) -> None:
    assert machine("GET", FIREFOX, purpose) == "prefetch"


@pytest.mark.parametrize("user_agent", ["", "   "])
def test_no_user_agent_is_a_machine(user_agent: str) -> None:
    assert machine("GET", user_agent) == "empty"
