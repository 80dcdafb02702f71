"""How a field of the API is described: in a sentence and by an example, beside its type.

    email: Annotated[str, says("The recipient's address.", "ana@exemple.fr")]

The OpenAPI document and `docs/api.md` are made of these. A field that holds Structs needs no example: theirs make it.
What is said costs nothing when a body is read: only limits are looked at then.
"""

from typing import Any

from msgspec import Meta


def says(
    sentence: str,
    *examples: object,
    max_length: int | None = None,
    schema: dict[str, Any] | None = None,
) -> Meta:
    """What the field means, values that it may have, how long it may be, and what else its JSON Schema says."""
    return Meta(
        description=sentence,
        examples=list(examples) or None,
        max_length=max_length,
        extra_json_schema=schema,
    )
