"""A log line is one JSON object with the fact's word, and never a secret."""

import json
import subprocess
import sys
from typing import Any

CODE = """
import logging
from shared.process import logs
logs.configure("relay", "{level}")
log = logs.get_logger()
{statement}
"""


def said(statement: str, level: str = "info") -> list[dict[str, Any]]:
    ended = subprocess.run(
        [sys.executable, "-c", CODE.format(level=level, statement=statement)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == ""
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_a_line_has_time_level_process_word_and_fields_in_that_order() -> None:
    [line] = said("log.info('deferred', site='example.org', reply=b'451 later', attempt=2)")

    assert list(line) == ["at", "level", "process", "event", "site", "reply", "attempt"]
    assert {name: line[name] for name in list(line)[1:]} == {
        "level": "info",
        "process": "relay",
        "event": "deferred",
        "site": "example.org",
        "reply": "451 later",
        "attempt": 2,
    }


def test_below_the_level_nothing_is_written() -> None:
    assert said("log.debug('a'); log.info('b')", "warning") == []


def test_another_level_holds_for_loggers_that_are_in_use() -> None:
    said_later = said(
        "bound = log.bind(part='x')\n"
        "log.info('a'); bound.info('b')\n"
        "logs.set_level('error')\n"
        "log.info('c'); bound.warning('d'); logs.get_logger().info('e'); bound.error('f')\n"
        "logging.getLogger('lib').warning('g')\n"
        "logs.set_level('debug')\n"
        "log.debug('h'); bound.debug('i')"
    )

    assert [line["event"] for line in said_later] == ["a", "b", "f", "h", "i"]


def test_secrets_are_blanked() -> None:
    [line] = said("log.info('x', token='t0k', password='pw', url='redis://u:pw@h/0', body='hello')")

    text = json.dumps(line)
    assert "t0k" not in text
    assert "pw" not in text
    assert "hello" not in text
    assert line["url"] == "redis://***@h/0"


def test_an_exception_is_one_line() -> None:
    [line] = said("try: 1/0\nexcept ZeroDivisionError as e: log.error('crashed', exc_info=e)")

    assert "ZeroDivisionError" in str(line["exception"])


def test_what_a_library_says_joins_the_lines() -> None:
    lines = said("logging.getLogger('lib').warning('odd %s', 1); logging.getLogger('lib').info('quiet')")

    assert [(line["event"], line["library"], line["said"]) for line in lines] == [("library_said", "lib", "odd %s")]


def test_what_a_library_says_of_others_input_is_left_out() -> None:
    lines = said(
        "log = logging.getLogger('lib')\n"
        "try: raise ValueError('est_abcdefghij_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345')\n"
        "except ValueError: log.exception('Bearer hunter2-hunter2'); log.error('of %r', 'canary', exc_info=True)"
    )

    assert [(line["said"], line["exception"].splitlines()[-1]) for line in lines] == [
        ("", "ValueError"), ("of %r", "ValueError"),
    ]  # fmt: skip
    assert not {"est_", "hunter2", "canary"} & set(str(lines).split("'"))
    assert "hunter2" not in str(lines)
    assert "ABCDEFGH" not in str(lines)


def test_what_has_the_shape_of_a_secret_is_blanked_wherever_it_stands() -> None:
    lines = said(
        "log = logs.get_logger()\n"
        "log.info('asked', path='/u/AAAAAAAAAAAAAAAAAAAAAAAA?x=1', head='Bearer abcdefghijkl',"
        " said='key est_abcdefghij_ABCDEFGHIJKLMNOP')"
    )

    assert (lines[0]["path"], lines[0]["head"], lines[0]["said"]) == ("/u/***?x=1", "Bearer ***", "key ***")


def test_secrets_are_blanked_inside_of_lists_and_however_they_are_written() -> None:
    lines = said(
        "log = logs.get_logger()\n"
        "log.info('asked', many=['Bearer abcdefghijkl', {'a': 'est_abcdefghij_ABCDEFGHIJKLMNOP', 'token': 'x'}],"
        " head='bearer abcdefghijkl', one='redis://:p@ssword@h/0', two='redis://u:a/b@h')"
    )

    assert lines[0]["many"] == ["Bearer ***", {"a": "***", "token": "***"}]
    assert (lines[0]["head"], lines[0]["one"], lines[0]["two"]) == ("bearer ***", "redis://***@h/0", "redis://***@h")


def test_of_an_address_the_domain_is_left_and_of_a_signed_name_nothing() -> None:
    [line] = said(
        "log.info('refused', reply='550 5.1.1 <ana.b+c@exemple.fr>: unknown', quoted='\"a b\"@exemple.fr',"
        " path='b-0123456789abcdefghijklmnopqrstuv0123456 is not ours', domain='exemple.fr')"
    )

    assert line["reply"] == "550 5.1.1 <***@exemple.fr>: unknown"
    assert (line["quoted"], line["path"], line["domain"]) == ("***@exemple.fr", "*** is not ours", "exemple.fr")


def test_a_secret_is_known_by_the_last_word_of_its_name() -> None:
    names = ("client_secret", "apiKey", "smtp-password", "X-Auth-Token", "subject", "variables", "privateKey")
    [line] = said(f"log.info('x', given=dict.fromkeys({names!r}, 'hunter2'), key_file='kept', tokens=3)")

    assert line["given"] == dict.fromkeys(names, "***")
    assert (line["key_file"], line["tokens"]) == ("kept", 3)


def test_private_keys_master_secrets_and_tokens_are_blanked_wherever_they_stand() -> None:
    token = "bzEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Ng"
    pem = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADAN\\n-----END PRIVATE KEY-----"
    [line] = said(f"log.info('x {token}', a='of {token}.', b='{pem}', c='{'0f' * 32}', d={{'{token}': 1}})")

    assert (line["event"], line["a"], line["b"], line["c"], line["d"]) == ("x ***", "of ***.", "***", "***", {"***": 1})


def test_a_line_is_written_whatever_it_is_told() -> None:
    [line] = said("log.info('x', number=1 << 80, text_of='\\ud800', of={1, 2}, odd=object, raw=memoryview(b'a'))")

    assert (line["number"], line["text_of"], line["raw"]) == (str(1 << 80), "?", "a")
