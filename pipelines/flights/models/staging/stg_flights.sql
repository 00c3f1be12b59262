select
    id as flight_id,
    make_date(year::int, month::int, day::int) as flown_on,
    carrier,
    flight as flight_number,
    tailnum,
    origin,
    dest,
    distance,
    dep_delay,
    arr_delay,
    time_hour as scheduled_hour
from {{ source('production', 'flights') }}
where time_hour >= timestamptz '2014-01-01 00:00-05' - interval '{{ var("days") }} days'
