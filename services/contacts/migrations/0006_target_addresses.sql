-- Which addresses a job that is sent to contacts has, where it takes each of them once (E3): the first contact with it that
-- was addressable when its page was made. An address is a digest, of it and the job. Removed once all are handed over.
create table target_addresses (
    tenant   int not null,
    job      text not null,
    address  bytea not null,
    contact  int not null,
    primary key (tenant, job, address)
);
