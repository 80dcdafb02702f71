-- What a base says of addresses, until suppression has been told (E11, E12): written together with what it follows from, and
-- removed once it is on the stream. A row is a batch of an import, or a request; its arrays have an element for each address.
-- An address of somebody who was erased meanwhile is ''.
create table stated (
    tenant     int not null,
    stated     bigint generated always as identity,     -- of what is said of one contact the later has the larger number
    source     text not null,                            -- "import 12", "api"
    said_at    timestamptz not null default clock_timestamp(),
    addresses  text[] not null,                          -- as contacts.email_key
    optins     text[] not null,                          -- yes, no; '': nothing was said
    statuses   text[] not null,                          -- hard, valid; ''
    sure       boolean[] not null,                       -- the contact stood otherwise before; else it is looked up
    lines      int[] not null,                           -- of the file of an import; 0: it was none
    primary key (tenant, stated)
);
create index on stated (stated);
