select
    c.country,
    count(*) as bookings,
    count(distinct b.customer_id) as customers,
    sum(b.price) as revenue
from {{ ref('stg_bookings') }} as b
inner join {{ ref('stg_customers') }} as c on c.customer_id = b.customer_id
where b.status <> 'cancelled'
group by c.country
