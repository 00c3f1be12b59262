-- The mart loses no flight and counts none twice.
select counted.flights, held.flights
from (select coalesce(sum(flights), 0) as flights from {{ ref('late_flights') }}) as counted
cross join (select count(*) as flights from {{ ref('stg_flights') }}) as held
where counted.flights <> held.flights
