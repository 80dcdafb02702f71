-- How far an import is, and what it reports.
--
-- A file is kept beside the service while it is read; what was done of it is here. Its lines are put into batches in a way
-- that the file alone decides, and each batch is a transaction that has a row in `import_batches`: a batch that has one was
-- done, wherever the process ended. So a file goes on where it stood, and no line is counted twice.

alter table imports
    add column state text not null default 'waiting'
        check (state in ('waiting', 'reading', 'applying', 'done', 'refused', 'interrupted')),
    add column dry_run boolean not null default false,   -- E15
    add column only_new boolean not null default false,  -- E10
    add column asked jsonb not null default '{}',        -- how the file is to be read: mapping, delimiter, charset
    add column file text not null default '',            -- its name beside the service, '' once it is done
    add column bytes bigint not null default 0,
    add column encoding text not null default '',
    add column lines bigint not null default 0,          -- that are not empty; the heading is none
    add column refused bigint not null default 0,
    add column batches int,                              -- null while it is not known how many there are
    add column warnings jsonb not null default '[]',
    add column detail text not null default '',
    add column by text not null default '',              -- who sent it
    add column started_at timestamptz,
    add column ended_at timestamptz;
create index on imports (state) where state in ('waiting', 'reading', 'applying');

-- What became of the lines of a batch. `replaced`: a later line has the same key (E14).
create table import_batches (
    tenant       int not null,
    import       int not null,
    batch        int not null,
    added        int not null default 0,
    updated      int not null default 0,
    unchanged    int not null default 0,
    replaced     int not null default 0,
    reactivated  int not null default 0,                 -- among the updated: are mailed again (E11, E12)
    primary key (tenant, import, batch)
);

-- The report: of the lines that somebody may want to look at the first so many.
create table import_lines (
    tenant  int not null,
    import  int not null,
    line    int not null,
    key     text not null default '',
    result  text not null check (result in ('refused', 'replaced', 'reactivated')),
    what    text not null default '',
    primary key (tenant, import, line)
);
