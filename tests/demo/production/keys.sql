alter table airlines add primary key (carrier);
alter table airports add primary key (faa);
alter table planes add primary key (tailnum);
alter table weather add primary key (origin, time_hour);
alter table weather add foreign key (origin) references airports;
-- tailnum and dest have no foreign key: the real data names planes and airports that its lists lack.
alter table flights add primary key (id);
alter table flights add foreign key (carrier) references airlines;
alter table flights add foreign key (origin) references airports;
create index on flights (time_hour);
alter table customer alter column id set not null, alter column email set not null, add primary key (id);
alter table booking alter column flight_id set not null, alter column customer_id set not null, add primary key (id);
alter table booking add foreign key (flight_id) references flights;
alter table booking add foreign key (customer_id) references customer;
analyze;
