"""A job that says `"undefined": "refuse"` is refused where nobody has what its content names."""

from typing import Any

import msgspec
import pytest

from services.queueing import jobs, undefined
from services.queueing.compile import Limits
from shared.words.errors import Fault, Problem
from tests.jobs import read_job

NOW_MS = 1_700_000_000_000


def read(*recipients: dict[str, Any], open_job: bool = False, **fields: Any) -> jobs.Job:
    rows = [{"email": f"r{index}@exemple.fr", "variables": one} for index, one in enumerate(recipients)]
    body: dict[str, Any] = {
        "from": "News <news@exemple.fr>",
        "subject": "Bonjour",
        "html": "<p>x</p>",
        "undefined": "refuse",
    }
    body |= {} if open_job or "recipients_from" in fields else {"recipients": rows}
    raw = msgspec.json.encode(body | fields)
    return read_job(raw, open_job=open_job, now_ms=NOW_MS, max_recipients=10, limits=Limits())


def faults(*recipients: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        read(*recipients, **fields)
    assert caught.value.status == 422
    return [(fault.at, fault.what) for fault in caught.value.faults]


def test_each_is_named_with_its_line_its_column_and_an_excerpt() -> None:
    found = faults({"prenom": "Ana"}, {}, html="<p>\n  Bonjour {{ prenon }}</p>", subject="Le {{ jour }}, {{ prenom }}")

    said = "and the job has no default for it, at"
    assert found == [
        ("$.subject", f"line 1, column 7: no recipient has the variable `jour`, {said} 'jour }}}}, {{{{ prenom }}}}'"),
        ("$.html", f"line 2, column 14: no recipient has the variable `prenon`, {said} 'prenon }}}}</p>'"),
    ]


def test_they_are_found_wherever_a_template_may_stand() -> None:
    fields = {
        "from": "{{ agent }} <news@exemple.fr>",
        "reply_to": "{{ boite }} <a@exemple.fr>",
        "headers": {"X-Agence": "{{ agence }}"},
        "text": "{% for ligne in commande.lignes %}{{ ligne.prix }}{% endfor %} {% if vip %}x{% endif %} x",
    }

    found = {what.split("`")[1]: at for at, what in faults({"commande": {"total": 1}}, **fields)}

    assert found == {
        "agent": "$.from",
        "boite": "$.reply_to",
        "agence": "$.headers['X-Agence']",
        "commande.lignes": "$.text",
        "vip": "$.text",
    }


def test_what_one_recipient_has_or_the_job_has_a_default_for_is_there() -> None:
    job = read({"a": 1}, {"b": 2}, html="{{ a }}{{ b }}{{ c }}{{ email }}{{ unsubscribe_url }}", variables={"c": "x"})

    assert len(job.waiting) == 2


def test_a_content_that_thought_of_it_is_taken() -> None:
    source = (
        """x {{ a|default("vous") }} {% if b is defined %}{{ b }}{% endif %} {% if c is not none %}{{ c }}{% endif %}"""
    )

    assert len(read({}, html=source).waiting) == 1


@pytest.mark.parametrize("source", ['{{ "prenon" }} {{ prenon.x }}', "{# prenon #} {{ prenon }}", "{{ prenon['a'] }}"])
def test_a_word_in_a_string_or_in_a_comment_names_nothing(source: str) -> None:
    ((_, what),) = faults({}, text=f"x {source}")

    assert f"column {3 + source.rindex('prenon')}:" in what


def test_who_is_rejected_does_not_count() -> None:
    rows = [{"email": "nonsense", "variables": {"a": 1}}, {"email": "b@b.fr"}]

    assert [at for at, _ in faults(html="x{{ a }}", recipients=rows)] == ["$.html"]


def test_a_word_for_it_that_is_none_is_refused() -> None:
    assert [at for at, _ in faults({}, undefined="ignore")] == ["$.undefined"]


def test_of_a_set_nothing_can_be_refused_for_nothing_is_known() -> None:
    ((at, what),) = faults(recipients_from={"segment": 3})

    assert (at, "not known" in what) == ("$.undefined", True)


def test_an_open_job_is_taken_and_keeps_what_is_said_at_its_start() -> None:
    job = read(open_job=True, html="{{ a }}{{ b }}{{ c|default(1) }}", variables={"b": 1})

    kept = undefined.of_open_job(undefined.packed(jobs.wanted(job.request, ["a", "c"])))

    assert kept == {
        "a": Fault(
            "$.html",
            "line 1, column 4: no recipient has the variable `a`, and the job has no default for it, "
            "at 'a }}{{ b }}{{ c|default(1) }}'",
        )
    }
