-- Deliveries of marketing are counted apart (M5): `tallies.kind` 26, which no behaviour has. Times are those of `tallies`, in
-- seconds since 2020-01-01T00:00:00Z; what was delivered before is counted here.
insert into tallies (tenant, kind, name, contact, n, last, times)
select tenant, 26, 0, contact, count(*), max(second), array_agg(second order by second)
from (
    select b.tenant, b.contact,
           greatest(-2147483646, least(2147483647, floor(extract(epoch from b.occurred_at)) - 1577836800))::int as second
    from behaviours as b
    join operations as o on o.tenant = b.tenant and o.operation = b.operation
    where b.kind = 4 and o.stream = 'bulk'
) as delivered
group by tenant, contact;
