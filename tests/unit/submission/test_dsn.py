"""What a client says of reports (RFC 3461): read as it is meant, or refused with the codes of SMTP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.submission.dsn import OfMail, OfRecipient, Refused, decoded, of_mail, of_recipient
from services.submission.submission import Mail, asked


def test_what_mail_says_is_read_in_any_case_and_the_rest_stays() -> None:
    rest, said = of_mail("FROM:<a@b.fr> SIZE=10 ret=full BODY=8BITMIME EnvId=<id+2B1+3D@b.fr>")

    assert (rest, said) == ("FROM:<a@b.fr> SIZE=10 BODY=8BITMIME", OfMail("full", "<id+1=@b.fr>"))
    assert of_mail("FROM:<> RET=HDRS") == ("FROM:<>", OfMail())


@pytest.mark.parametrize(
    ("said", "of"),
    [
        ("NOTIFY=NEVER", OfRecipient()),
        ("NOTIFY=DELAY", OfRecipient()),
        ("notify=failure,Success,DELAY", OfRecipient(("failure", "success"))),
        ("ORCPT=rfc822;Ana+2Bx@b.fr NOTIFY=SUCCESS", OfRecipient(("success",), "rfc822;Ana+x@b.fr")),
        ("ORCPT=utf-8;zoé@b.fr", OfRecipient((), "utf-8;zo\\x{E9}@b.fr")),
    ],
)
def test_what_rcpt_says_is_read(said: str, of: OfRecipient) -> None:
    assert of_recipient(f"TO:<a@b.fr> {said}") == ("TO:<a@b.fr>", of)


@pytest.mark.parametrize(
    "arg",
    [
        "RET=", "RET", "RET=BOTH", "RET=FULL RET=FULL", "ENVID=", "ENVID=a=b", "ENVID=a+2", "ENVID=a+0D+0A",
        "ENVID=a+2b", f"ENVID={'x' * 101}", "ENVID=é",
    ],
)  # fmt: skip
def test_what_mail_must_not_say_is_a_fault_of_syntax(arg: str) -> None:
    with pytest.raises(Refused, match=r"^501 5\.5\.4 "):
        of_mail(f"FROM:<a@b.fr> {arg}")


@pytest.mark.parametrize(
    "arg",
    [
        "NOTIFY", "NOTIFY=", "NOTIFY=NEVER,FAILURE", "NOTIFY=ALWAYS", "NOTIFY=FAILURE,", "NOTIFY=NEVER NOTIFY=NEVER",
        "ORCPT=ana@b.fr", "ORCPT=rfc822;", "ORCPT=;ana", "ORCPT=rfc 822;a", "ORCPT=rfc822;a+0A", "ORCPT=rfc822;é@b.fr",
        f"ORCPT=rfc822;{'x' * 500}",
    ],
)  # fmt: skip
def test_what_rcpt_must_not_say_is_a_fault_of_syntax(arg: str) -> None:
    with pytest.raises(Refused, match=r"^501 5\.5\.4 "):
        of_recipient(f"TO:<a@b.fr> {arg}")


def test_what_stands_in_an_address_is_no_parameter() -> None:
    assert of_mail('FROM:<"a> RET=FULL"@b.fr> RET=HDRS') == ('FROM:<"a> RET=FULL"@b.fr>', OfMail())
    assert of_recipient("TO:ana@b.fr NOTIFY=NEVER") == ("TO:ana@b.fr NOTIFY=NEVER", OfRecipient())


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_any_printable_text_comes_back_from_xtext(text: str) -> None:
    xtext = "".join(one if one.isalnum() else f"+{ord(one):02X}" for one in text)

    assert decoded(xtext) == text


@given(st.text())
def test_whatever_is_said_is_read_or_refused(text: str) -> None:
    for read in (of_mail, of_recipient):
        try:
            read(text)
        except Refused as why:
            assert str(why).isascii()


def test_a_recipient_who_stands_twice_is_told_of_by_what_both_say() -> None:
    first, second = OfRecipient(("failure",)), OfRecipient(("success",), "rfc822;b@b.fr")
    mail = Mail(("a@b.fr", "b@b.fr", "a@b.fr"), b"", "c@b.fr", OfMail("full", "e"), (first, OfRecipient(), second))

    assert asked(mail)["recipients"] == ["a@b.fr", "b@b.fr"]
    assert asked(mail)["dsn"] == {
        "sender": "c@b.fr",
        "content": "full",
        "envelope_id": "e",
        "recipients": [
            {"notify": ("failure", "success"), "original_recipient": "rfc822;b@b.fr"},
            {"notify": (), "original_recipient": ""},
        ],
    }


def test_nobody_asks_for_the_null_sender_or_for_nothing() -> None:
    assert "dsn" not in asked(Mail(("a@b.fr",), b"", "", OfMail(), (OfRecipient(("failure",)),)))
    assert "dsn" not in asked(Mail(("a@b.fr",), b"", "c@b.fr", OfMail("full", "x"), (OfRecipient((), "rfc822;a"),)))
