"""Imports: files of contacts, read, understood and written, once, whoever is killed meanwhile.

    ../imports_http.py ──→ store.py ══SQL                      a file comes in, in pieces; progress and report
    importing.py ──→ reading.py ──→ lines.py ──→ columns.py    its lines, by what their columns are
         │                ╰──→ (shared.tabular)    ╰─→ cells.py
         ╰──→ writing.py ──→ staging.py, statements.py ══SQL   a batch as one transaction

Promises    Each column is a field or nothing (E7); an empty cell empties its field (E9); of lines with one key the last
            wins (E14). Whom an import included, added and updated is known for ever (E13). A batch counts once: an
            import goes on where it stood.

Read `importing.py` first, then `lines.py`, then `statements.py`.
"""
