"""What happens to contacts, and what they do: each fact once, as a row, as bits of sets and as counts.

    ../following.py ──→ deeds.py      a fact, as what is noted of it; a table
                        operations.py jobs, and what their operation is
                        late.py       clicks that are found out to be a machine's once they were noted
                        batch.py      who is meant, and the facts of a batch as rows, bits and counts
                        writing.py ──→ store.py ══SQL     the order in which a batch is written
    ../timeline_http.py ──→ timeline.py ══SQL             what happened to one contact

Promises    A fact counts once, however often it is read, and in whatever order: `behaviours` says what is new, and
            whatever follows from it is written in the same transaction. Whoever is not in the base is nobody. One
            writer of a tenant at a time (`store.hold`), so that nothing waits in a circle and erasure is whole.

Read `writing.py` first. The semantics are numbered E16 to E20, E28 and E29; tests quote them.
"""
