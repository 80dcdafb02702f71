-- Lines of the reports of imports are found by the key of their contact: it is taken out of them when it is erased.
create index on import_lines (tenant, key) where key <> '';
