"""Segments: who of the base is meant, in a small language of JSON that is compiled to one statement of SQL.

    {"kind": "all", "of": [
        {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75"},
        {"kind": "operation", "was": "not_opened", "tag": "soldes"},
        {"kind": "none", "of": [{"kind": "behaviour", "did": "clicked", "at_least": 1, "last_days": 60}]}
    ]}

    language.py ──→ checking.py ──→ compiling.py ══SQL══ store.py
    what may be said  what it means    one statement,      saved segments,
    (its JSON Schema) to this tenant   parameters bound    count, sample, members

Promises    Who belongs is decided when a segment is used (E30). No SQL text is made of what a tenant wrote: names and
            values are parameters. A segment never uses itself, however far round (E26). All that is wrong is told at
            once.

Read `language.py` first. The semantics are numbered E16 to E31; tests quote them.
"""
