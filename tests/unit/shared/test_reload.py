"""What changes while a process runs is taken, what does not is named, and nothing that is secret is told."""

from services.settings import load
from shared.process.reload import MOST_TOLD, plan, told

TAKEN = ("logs.level", "relay.shaping_file")


def test_of_settings_that_are_others_some_are_taken_and_the_rest_is_named() -> None:
    before = load({}, None)
    after = load(
        {
            "ESTAFETTE_LOGS_LEVEL": "debug",
            "ESTAFETTE_RELAY_SHAPING_FILE": "mine.toml",
            "ESTAFETTE_HTTP_PORT": "1",
            "ESTAFETTE_RELAY_IN_FLIGHT": "7",
        },
        None,
    )

    planned = plan(before, after, TAKEN)

    assert sorted(planned.changes) == [
        "logs.level: 'info' is now 'debug'", "relay.shaping_file: '' is now 'mine.toml'",
    ]  # fmt: skip
    assert sorted(planned.needs_restart) == ["http.port", "relay.in_flight"]
    assert planned.settings == load(
        {"ESTAFETTE_LOGS_LEVEL": "debug", "ESTAFETTE_RELAY_SHAPING_FILE": "mine.toml"}, None
    )


def test_what_is_the_same_changes_nothing() -> None:
    planned = plan(load({}, None), load({}, None), TAKEN)

    assert (planned.changes, planned.needs_restart) == ([], [])
    assert planned.settings == load({}, None)


def test_what_needs_a_restart_is_named_until_it_was_restarted() -> None:
    before, after = load({}, None), load({"ESTAFETTE_HTTP_PORT": "1"}, None)

    first = plan(before, after, TAKEN)
    second = plan(first.settings, after, TAKEN)

    assert first.needs_restart == second.needs_restart == ["http.port"]


def test_a_password_in_a_setting_is_not_told() -> None:
    before, after = load({}, None), load({"ESTAFETTE_REDIS_URL": "redis://:hunter2@h/0"}, None)

    (change,) = plan(before, after, ("redis.url",)).changes

    assert "hunter2" not in change


def test_one_line_names_so_many_and_how_many_more_there_are() -> None:
    assert told(["a", "b"]) == ["a", "b"]
    assert told([str(number) for number in range(MOST_TOLD + 3)])[-2:] == [str(MOST_TOLD - 1), "and 3 more"]
