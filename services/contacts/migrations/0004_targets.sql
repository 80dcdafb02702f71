-- Jobs that are sent to contacts (E30): which segment in which version, or which criteria that nobody saved, and who belonged
-- when sending began. Criteria are those that held then: a job shows for ever whom it was meant for. The tenant is not
-- referenced: a transaction of one moment would fail whenever its row was written meanwhile.
create table targets (
    tenant    int not null,
    job       text not null,
    segment   int,                                       -- null: criteria that nobody saved
    version   int,
    name      text not null default '',                  -- of the segment, as it was then
    criteria  jsonb not null,
    selected  int not null,                              -- how many belonged
    taken_at  timestamptz not null default now(),
    primary key (tenant, job)
);
create index on targets (taken_at);

-- Who they are, in the order of their numbers, by chunks of 8,192 numbers: four bytes a member, so that a job reads the same
-- ones however often its reader dies. Removed 30 days later; a number of somebody who was erased is nobody's.
create table target_members (
    tenant    int not null,
    job       text not null,
    chunk     int not null,                              -- contact >> 13
    contacts  int[] not null,
    primary key (tenant, job, chunk)
) partition by hash (tenant);

do $$
begin
    for remainder in 0..7 loop
        execute format('create table %I partition of target_members for values with (modulus 8, remainder %s)',
                       'target_members_' || remainder, remainder);
    end loop;
end $$;
