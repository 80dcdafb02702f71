-- What is still to be told of contacts: facts that are written in the transaction of what they tell, and go to the streams
-- from here. A row is removed once the streams have it; its number and time make the id of the event, so that a fact that
-- goes there twice is one event (`outbox/`).
create table outbox (
    tenant   int not null,
    said     bigint generated always as identity,        -- in the order in which it happened to a contact
    at       timestamptz not null default now(),
    fact     text not null,                              -- ContactAdded, ContactUpdated ...: its name on the streams
    contact  int,                                        -- null: it is about the whole base
    email    text,                                       -- as `contacts.email_key`
    details  jsonb not null default '{}',                -- the fact's other fields
    primary key (tenant, said)
) partition by hash (tenant);

-- Rows live for a second: what is emptied as fast as it is filled is to be cleaned early.
do $$
begin
    for remainder in 0..7 loop
        execute format('create table %I partition of outbox for values with (modulus 8, remainder %s) '
                       'with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)',
                       'outbox_' || remainder, remainder);
    end loop;
end $$;
-- Who is erased takes along what is still to be told of them.
create index on outbox (tenant, contact) where contact is not null;
