"""How a refusal is counted: by the kind of limit, never by its name."""

import pytest

from services.relay.limits.permits import kind


@pytest.mark.parametrize(
    ("limit", "label"),
    [
        ("site:gmail", "site"),
        ("site:gmail source:a1", "source"),
        ("source:a1", "source"),
        ("tenant:acme", "tenant"),
        ("job:06h006mus2uer1pplc9g", "job"),
        ("pace:gmail source:a1", "pace"),
        ("warmup:gmail source:a1", "warmup"),
        ("site", "site"),
        ("something:else", "other"),
        ("", "other"),
    ],
)
def test_labels_are_kinds(limit: str, label: str) -> None:
    assert kind(limit) == label
