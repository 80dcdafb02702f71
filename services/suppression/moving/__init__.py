"""Whole lists moved in and out: files of addresses read, understood and applied, and the list written as a file.

    http.py ──→ running.py ──→ importing.py ──→ forms.py ──→ formats.py   what a heading says that the lines mean
       │            │              │   ╰──────→ dumps.py                   the same of what comes as JSON
       │            │              ├──→ spool.py                           the last line of an address wins
       │            │              ╰──→ deciding.py ══→ telling.py         what becomes of each, or would
       │            ╰──→ imports.py ══Redis                                progress and report, kept for some days
       ╰──→ exporting.py ──→ shared/tabular/cells.py                        and all of it back

The list itself is `services/suppression/book.py`, which is handed in.
"""
