-- The tables of contacts: the base, its fields, what contacts did, imports and segments. PostgreSQL 15 or newer.
--
-- Every table and every query carries the tenant, which is a number here (`tenants`). Large tables are partitioned by
-- hash of it, so that Citus may distribute them by the same column and a small tenant never reads a large one's pages.
-- Nothing here is made from what a tenant wrote: a field of their own is a number and a place in an array, never a column.
--
-- Measured on PostgreSQL 15 with 300,000 contacts of 20 fields (CPU of one backend, no parallel workers, two runs):
--   three criteria on fields:  arrays by type 0.19 - 0.24 s, one column for each field 0.22 - 0.25 s, jsonb 0.31 - 0.48 s
--       (jsonb is 1.3 times as large). Arrays cost what columns cost, and there is no end to the number of fields.
--   text without case:  lower() in the query adds 0.25 us for each row; so text is kept folded beside what was written.
--   "opened this operation":  bitmaps 0.07 - 0.09 s, a row for each contact and operation 0.18 - 0.27 s.
--   "opened one of ten operations":  bitmaps 0.17 s, rows 1.0 - 1.4 s.
--       4.5 million rows with their index are 359 MB, the same facts as bitmaps 2.3 MB. See `sets`.
--   "at least three openings in four months":  sorted times of each contact 0.41 - 0.52 s (0.14 s of it to find the
--       contacts), counting rows by an index of their own 0.88 - 1.35 s. See `tallies`.
--   writing, CPU for 10,000:  mark 0.04 s, tally 0.10 s, behaviours 0.06 s; 10,000 contacts that exist, upserted, 0.33 s.

create table tenants (
    tenant        int generated always as identity primary key,
    name          text not null unique,                  -- as on the streams
    key_field     text not null default 'email',         -- E1: the field that is unique: email, mobile, or the name of a text field
    duplicates    boolean not null default false,        -- E3
    next_contact  int not null default 1,                -- a writer takes a run of numbers in a transaction of its own; gaps do no harm
    next_field    int not null default 1,
    next_operation int not null default 1,
    next_name     int not null default 1,
    next_import   int not null default 1,
    next_segment  int not null default 1,
    settings      jsonb not null default '{}',           -- activity rank, at risk, pressure: read by their own modules
    created_at    timestamptz not null default now()
);

-- A field of a tenant. `slot` is its place, from 1, in `contacts.texts` and `contacts.folded` (text), `numbers` (number)
-- or `dates` (date); null for what is chosen, which is in `contacts.choices`. A slot of a removed field is never used again.
-- Fields that are there from the start (E4: last_name, first_name, address, town, postcode, language, time_zone ...; tags,
-- of kind `choices`) are rows as well, made with the tenant. E-mail, mobile and telephone are columns of `contacts`.
create table fields (
    tenant      int not null references tenants,
    field       int not null check (field between 1 and 32767),
    name        text not null,                           -- [a-z][a-z0-9_]*: what segments, imports and templates say
    label       text not null default '',
    kind        text not null check (kind in ('text', 'number', 'date', 'choice', 'choices', 'yes_no')),
    slot        int check (slot between 1 and 1000),
    next_choice int not null default 0,                  -- place of the next of `choices`
    built_in    boolean not null default false,
    created_at  timestamptz not null default now(),
    removed_at  timestamptz,
    primary key (tenant, field),
    check ((slot is null) = (kind in ('choice', 'choices', 'yes_no')))
);
create unique index on fields (tenant, name) where removed_at is null;
create unique index on fields (tenant, (case when kind in ('number', 'date') then kind else 'text' end), slot) where slot is not null;

-- What may be chosen. The number of a choice is its field and its place there, which is never used again: field * 65536 +
-- place. So `contacts.choices` is one sorted array for all fields, and what a field has in it lies between two numbers
-- (width_bucket finds them by halving, however many may be chosen). A field of kind yes_no has the values `yes` and `no`.
create table choices (
    tenant  int not null references tenants,
    choice  int not null,
    field   int not null,
    value   text not null,
    folded  text not null,                               -- value, folded as `contacts.folded`
    label   text not null default '',
    primary key (tenant, choice),
    unique (tenant, field, folded),
    check (choice >> 16 = field)
);

create type address_status as enum ('valid', 'soft', 'hard');

-- The base. `contact` numbers the contacts of a tenant from 1, densely and for ever (bitmaps are indexed by it): the number
-- of an erased contact is never given again.
--   key     folded value of the tenant's key field. `copy` is 0, and 1, 2 ... for the duplicates that E3 allows, so
--           `on conflict (tenant, key, copy)` is the upsert. A contact without a key has '#' and its number.
--   texts, folded, numbers, dates   by `fields.slot`. An element that is absent and one that is null are both empty. A text
--           is never ''. `folded` is `unicodedata.normalize("NFC", text).casefold()` of Python, so that what is equal
--           (E25) does not depend on the locale of a server; writers fill both. Numbers are float8: 15 digits.
--           Write elements (`set texts[3] = excluded.texts[3], folded[3] = excluded.folded[3]`), compare elements.
--   choices sorted numbers of `choices`, of all fields (`replaced_choices` writes some of them).
-- E5: null in *_optin is unknown; *_status null is not known yet; `left` is unsubscribed, `opposed` is to prospecting.
-- E6: *_addressable follows from the others, so that a count says it for each channel without thinking (E31).
-- fillfactor: an update that changes no address stays in its page and touches no index (HOT).
create table contacts (
    tenant            int not null,
    contact           int not null,
    key               text not null,
    copy              int not null default 0,
    email             text,                              -- as it is written to: str() of shared/mail's Address; null is none
    email_key         text,                              -- its key, in lower case: what is compared and looked up
    mobile            text,                              -- E.164
    telephone         text,                              -- E.164
    professional      boolean not null default false,    -- K11
    texts             text[] not null default '{}',
    folded            text[] not null default '{}',
    numbers           float8[] not null default '{}',
    dates             date[] not null default '{}',
    choices           int[] not null default '{}',
    email_optin       boolean,
    email_status      address_status,
    email_left        boolean not null default false,
    email_opposed     boolean not null default false,
    email_softs       int not null default 0,
    email_diagnostic  text,                              -- the last one, kept when an address is valid again (E12)
    sms_optin         boolean,
    sms_status        address_status,
    sms_left          boolean not null default false,
    sms_opposed       boolean not null default false,
    phone_optin       boolean,
    phone_status      address_status,
    phone_left        boolean not null default false,
    phone_opposed     boolean not null default false,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    last_action_at    timestamptz,                       -- K13: an interaction that counts
    email_addressable boolean not null generated always as (
        email is not null and email_status is distinct from 'hard' and not email_left
        and case when professional then not email_opposed else email_optin is true end) stored,
    sms_addressable   boolean not null generated always as (
        mobile is not null and sms_status is distinct from 'hard' and not sms_left
        and case when professional then not sms_opposed else sms_optin is true end) stored,
    phone_addressable boolean not null generated always as (
        coalesce(telephone, mobile) is not null and phone_status is distinct from 'hard' and not phone_left
        and case when professional then not phone_opposed else phone_optin is true end) stored,
    primary key (tenant, contact),
    unique (tenant, key, copy)
) partition by hash (tenant);

-- History of a contact: `what` is {"name of the field": [before, after]}; `source` says who ("import 12", "api", "fact <event>").
create table changes (
    tenant   int not null,
    contact  int not null,
    at       timestamptz not null default now(),
    change   bigint generated always as identity,
    source   text not null,
    what     jsonb not null
) partition by hash (tenant);

-- What happens to contacts is in *operations* (E16): a job, or all jobs that share a key (a transactional mail goes out as a
-- job for each recipient; its operation is what they have in common).
create table operations (
    tenant      int not null references tenants,
    operation   int not null,
    key         text not null,                           -- the job's id, or the word that its jobs share
    name        text not null default '',
    kind        text not null default 'email',           -- email, sms, survey, form
    stream      text not null default '',
    category    text not null default '',                -- F15
    tags        text[] not null default '{}',
    started_at  timestamptz not null default now(),
    primary key (tenant, operation),
    unique (tenant, key)
);
create index on operations using gin (tags);
create index on operations (tenant, started_at);

create table jobs (
    tenant     int not null references tenants,
    job        text not null,
    operation  int not null,
    segment    int,                                      -- E30: to which segment it was sent, in which version
    version    int,
    primary key (tenant, job)
);

-- Who is the recipient with an ordinal (openings and clicks name no address): contacts[(ordinal & 255) + 1] of the chunk
-- ordinal >> 8; 0 or null is nobody (erased, or not a contact). Four bytes a recipient where a row would be sixty.
create table recipients (
    tenant    int not null,
    job       text not null,
    chunk     int not null,
    contacts  int[] not null,
    primary key (tenant, job, chunk)
) partition by hash (tenant);

-- Words with a number: URLs (kind `url`), pages of a site (`page`), named events (`event`), reasons of exclusion (`reason`).
create table names (
    tenant  int not null references tenants,
    name    int not null,
    kind    text not null,
    text    text not null,
    primary key (tenant, name)
);
create unique index on names (tenant, kind, md5(text));

-- Sets of contacts, as bitmaps of 8,192: contact c is bit c & 8191 of the chunk c >> 13. A fact that is noted twice is noted
-- once. Empty bits compress (pglz, hence the low toast_tuple_target): a set of one contact takes about 100 bytes, a set of a
-- million at most 125 kB. `mark` writes them. A number that no row of `contacts` has counts nowhere.
--   fact  subject    item                          what (m: what machines did counts too, E19)
--    1    operation  0                             selected
--    2    operation  0                             recipient
--    3    operation  0, or name of the reason      excluded (0 for all reasons: always marked too)
--    4    operation  0                             delivered
--    5    operation  0                             opened
--    6    operation  0                             clicked (whoever clicked is marked as opened too, E19)
--    7    operation  name of the URL               clicked an address (E17)
--    8    operation  position, from 0              clicked a link (E17)
--    9    operation  0 all, 1 hard, 2 soft, 3 block  bounced
--   10    operation  0                             unsubscribed by
--   11    operation  0                             complained about
--   15    operation  0                             opened, m
--   16    operation  0                             clicked, m
--   17    operation  name of the URL               clicked an address, m
--   18    operation  position                      clicked a link, m
--   31    import     0                             included in (E13)
--   32    import     0                             added by
--   33    import     0                             updated by
--   41    0          note 1 to 10                  activity rank now in force (E32); who is in none has 0
create table sets (
    tenant   int not null,
    fact     smallint not null,
    subject  int not null,
    item     int not null default 0,
    chunk    int not null,
    members  bit(8192) not null,
    primary key (tenant, fact, subject, item, chunk)
) partition by hash (tenant);

-- Everything that happened, once: `event` is the event_id of the fact (sixteen hex digits, as a signed number), so that
-- `insert ... on conflict do nothing returning ...` says what is new, and only that may go on to `sets` and `tallies`, in
-- the same transaction as the position in `followed`. Timelines and the activity rank read it.
--   kind   4 delivered, 5 opened, 6 clicked, 9 bounced, 10 unsubscribed, 11 complained (as `sets.fact`),
--          20 page seen, 21 named event, 22 answered a survey, 23 sent a form, 24 SMS sent, 25 SMS clicked
--   name   the URL, the page or the event (`names`), 0 for none; `position` of the link, -1 for none
create table behaviours (
    tenant       int not null,
    contact      int not null,
    occurred_at  timestamptz not null,
    event        bigint not null,
    kind         smallint not null,
    machine      boolean not null default false,
    operation    int not null default 0,
    name         int not null default 0,
    position     int not null default -1,
    primary key (tenant, contact, occurred_at, event)
) partition by hash (tenant);

-- Counts within a period (E29): for each contact the sorted times, in seconds since 2020-01-01T00:00:00Z, of what people did
-- of a kind (`behaviours.kind`; kind + 100 counts machines too). `name` is 0, and for a named event its own number besides.
-- width_bucket() counts in a sorted array by halving it; `n` and `last` save most contacts from it. `tally` writes them.
create table tallies (
    tenant   int not null,
    kind     smallint not null,
    name     int not null default 0,
    contact  int not null,
    n        int not null,                               -- cardinality(times)
    last     int not null,                               -- the greatest of times
    times    int[] not null,
    primary key (tenant, kind, name, contact)
) partition by hash (tenant);

-- How far each partition of a stream was followed: written in the transaction of what was read.
create table followed (
    stream     text not null,
    partition  int not null,
    entry      text not null,
    primary key (stream, partition)
);

-- Imports (D8); how far one is and what it reports are columns of a later migration. Whom they included, added and updated is in `sets`, for ever.
create table imports (
    tenant      int not null references tenants,
    import      int not null,
    name        text not null default '',
    created_at  timestamptz not null default now(),
    primary key (tenant, import)
);

create table segments (
    tenant       int not null references tenants,
    segment      int not null,
    name         text not null,
    version      int not null,                           -- the one in force
    uses         int[] not null default '{}',            -- segments that the one in force names: circles are refused (E26)
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    archived_at  timestamptz,
    primary key (tenant, segment)
);
create unique index on segments (tenant, name) where archived_at is null;

create table segment_versions (
    tenant    int not null,
    segment   int not null,
    version   int not null,
    criteria  jsonb not null,
    made_at   timestamptz not null default now(),
    made_by   text not null default '',
    primary key (tenant, segment, version),
    foreign key (tenant, segment) references segments on delete cascade
);

-- Eight partitions: a tenant is in one, vacuum and indexes of the others are let alone. Names are ours.
do $$
declare
    parent text;
    options text;
begin
    for parent, options in values
        ('contacts', 'fillfactor = 85'), ('changes', 'fillfactor = 100'), ('recipients', 'fillfactor = 90'),
        ('sets', 'fillfactor = 80, toast_tuple_target = 128'), ('behaviours', 'fillfactor = 100'),
        ('tallies', 'fillfactor = 80')
    loop
        for remainder in 0..7 loop
            execute format('create table %I partition of %I for values with (modulus 8, remainder %s) with (%s)',
                           parent || '_' || remainder, parent, remainder, options);
        end loop;
    end loop;
end $$;
create index on contacts (tenant, email_key) where email_key is not null;
create index on contacts (tenant, mobile) where mobile is not null;
create index on changes (tenant, contact, at);

-- Marks contacts in sets: row i says that `contacts[i]` belongs to (facts[i], subjects[i], items[i]). Rows are written in
-- the order of the key, so two that mark at once never wait for each other in a circle; what is there already is not written.
create function mark(of_tenant int, facts int[], subjects int[], items int[], contacts int[]) returns void
language sql as $$
    insert into sets as kept (tenant, fact, subject, item, chunk, members)
    select of_tenant, fact, subject, item, contact >> 13,
           bit_or(set_bit(repeat('0', 8192)::bit(8192), contact & 8191, 1))
    from unnest(facts, subjects, items, contacts) as marked (fact, subject, item, contact)
    group by fact, subject, item, contact >> 13
    order by fact, subject, item, contact >> 13
    on conflict (tenant, fact, subject, item, chunk) do update
        set members = kept.members | excluded.members
        where kept.members | excluded.members <> kept.members
$$;

-- Takes contacts out of sets again: a click that was found to be a machine's (and was the only one), an erased contact.
create function unmark(of_tenant int, facts int[], subjects int[], items int[], contacts int[]) returns void
language sql as $$
    update sets as kept
    set members = kept.members & ~gone.members
    from (
        select fact, subject, item, contact >> 13 as chunk,
               bit_or(set_bit(repeat('0', 8192)::bit(8192), contact & 8191, 1)) as members
        from unnest(facts, subjects, items, contacts) as marked (fact, subject, item, contact)
        group by fact, subject, item, contact >> 13
    ) as gone
    where kept.tenant = of_tenant and kept.fact = gone.fact and kept.subject = gone.subject and kept.item = gone.item
        and kept.chunk = gone.chunk
$$;

-- Two sorted arrays as one; mostly the second is later than the first, and follows it.
create function merged_times(earlier int[], later int[]) returns int[]
language sql immutable parallel safe as $$
    select case
        when earlier[cardinality(earlier)] <= later[1] then earlier || later
        else (select array_agg(time order by time) from unnest(earlier || later) as time)
    end
$$;

-- Counts what happened: row i says that `contacts[i]` did (kinds[i], names[i]) at times[i] (seconds since 2020). Only ever
-- called for events that `behaviours` had not.
create function tally(of_tenant int, kinds int[], names int[], contacts int[], times int[]) returns void
language sql as $$
    insert into tallies as kept (tenant, kind, name, contact, n, last, times)
    select of_tenant, kind, name, contact, count(*), max(time), array_agg(time order by time)
    from unnest(kinds, names, contacts, times) as counted (kind, name, contact, time)
    group by kind, name, contact
    order by kind, name, contact
    on conflict (tenant, kind, name, contact) do update
        set n = kept.n + excluded.n, last = greatest(kept.last, excluded.last),
            times = merged_times(kept.times, excluded.times)
$$;

-- The choices of a contact when fields are written: those that it has of the `written` fields give way to `chosen`. Sorted.
create function replaced_choices(old int[], written int[], chosen int[]) returns int[]
language sql immutable parallel safe as $$
    select coalesce(array_agg(choice order by choice), '{}')
    from (select choice from unnest(old) as choice where choice >> 16 <> all (written)
          union select unnest(chosen)) as together
$$;
