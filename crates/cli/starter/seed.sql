begin;
create table if not exists greeting (id integer primary key, text text not null);
truncate greeting;
insert into greeting select n, 'hello ' || n from generate_series(1, :rows) n;
commit;
