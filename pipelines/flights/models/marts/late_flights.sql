{# How often each airline is late, by month, and how many bookings that concerned. #}
with bookings as (
    select flight_id, count(*) as bookings
    from {{ ref('stg_bookings') }}
    where status = 'flown'
    group by flight_id
)

select
    f.carrier,
    a.airline,
    date_trunc('month', f.flown_on)::date as month,
    count(*) as flights,
    count(*) filter (where f.arr_delay > {{ var('late_minutes') }}) as late_flights,
    coalesce(sum(b.bookings) filter (where f.arr_delay > {{ var('late_minutes') }}), 0)::bigint as late_bookings,
    round(avg(f.arr_delay)::numeric, 1) as mean_delay
from {{ ref('stg_flights') }} as f
inner join {{ ref('stg_airlines') }} as a on a.carrier = f.carrier
left join bookings as b on b.flight_id = f.flight_id
group by f.carrier, a.airline, date_trunc('month', f.flown_on)
