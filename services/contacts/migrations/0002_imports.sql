-- How far an import is, and what it reports.
--
-- A file is kept in pieces until all of it was done. Its lines are put into batches in a way that the file alone decides,
-- and each batch is a transaction that has a row in `import_batches`: a batch that has one was done, wherever the process
-- ended. So a file goes on where it stood, in whatever process, and no line is counted twice.

-- `receiving`: the file comes in. `waiting`: nobody works on it yet. `reading`: its lines are looked at, nothing is written.
-- `applying`: batches are written. `done`. `refused`: it is no file of contacts, nothing was written. `interrupted`: the
-- upload broke off and nothing was written, or it failed: `detail` says which.
alter table imports
    add column state text not null default 'receiving'
        check (state in ('receiving', 'waiting', 'reading', 'applying', 'done', 'refused', 'interrupted')),
    add column dry_run boolean not null default false,   -- E15
    add column only_new boolean not null default false,  -- E10
    add column asked jsonb not null default '{}',        -- how the file is read: its fields, mapping, delimiter, charset
    add column made_by text not null default '',
    add column bytes bigint not null default 0,
    add column pieces int not null default 0,
    add column encoding text not null default '',
    add column lines bigint not null default 0,          -- that are not empty; the heading is none
    add column refused bigint not null default 0,
    add column warnings jsonb not null default '[]',
    add column detail text not null default '',
    add column updated_at timestamptz not null default now(),
    add column worked_until timestamptz,                 -- whoever works on it says so before that
    add column ended_at timestamptz;
create index on imports (created_at) where state in ('receiving', 'waiting', 'reading', 'applying');

-- The file, compressed (zlib) by whoever took it.
create table import_pieces (
    tenant  int not null,
    import  int not null,
    piece   int not null,                                -- from 0
    packed  bytea not null,
    primary key (tenant, import, piece)
);
alter table import_pieces alter column packed set storage external;

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
