-- What the following of behaviour needs besides: clicks that were found out to be a machine's, and taking back. A bounce
-- has in `behaviours.name` its kind, a word of kind `bounce` in `names`.

-- Clicks of people that were judged a machine's later: their row in `behaviours` says `machine` then, and whatever else
-- was clicked near them is judged by them still.
create table judged (
    tenant       int not null,
    contact      int not null,
    occurred_at  timestamptz not null,
    event        bigint not null,
    primary key (tenant, contact, occurred_at, event)
);

-- The bits of one contact, wherever they are: its erasure takes them out.
create index on sets (tenant, chunk);

-- A sorted array without some of its elements, each taken out as often as it is in `gone`.
create function less_times(earlier int[], gone int[]) returns int[]
language sql immutable parallel safe as $$
    select coalesce(array_agg(time order by time), '{}')
    from (select time, row_number() over (partition by time) as nth from unnest(earlier) as time) as there
    left join (select time, count(*) as many from unnest(gone) as time group by time) as taken using (time)
    where nth > coalesce(many, 0)
$$;

-- Counts no more what was counted: row i says that `contacts[i]` did (kinds[i], names[i]) at times[i] and that it is not
-- so. Only ever called for what `tally` has counted.
create function untally(of_tenant int, kinds int[], names int[], contacts int[], times int[]) returns void
language sql as $$
    with taken as (
        select kind, name, contact, array_agg(time) as gone
        from unnest(kinds, names, contacts, times) as counted (kind, name, contact, time)
        group by kind, name, contact
    ), emptied as (
        delete from tallies as kept using taken
        where kept.tenant = of_tenant and kept.kind = taken.kind and kept.name = taken.name
            and kept.contact = taken.contact and kept.n <= cardinality(taken.gone)
    )
    update tallies as kept
    set times = less_times(kept.times, taken.gone), n = kept.n - cardinality(taken.gone),
        last = (less_times(kept.times, taken.gone))[kept.n - cardinality(taken.gone)]
    from taken
    where kept.tenant = of_tenant and kept.kind = taken.kind and kept.name = taken.name
        and kept.contact = taken.contact and kept.n > cardinality(taken.gone)
$$;
