with bought as (
    select customer, count(*) as orders, sum(cents) as cents from {{ source('raw', 'orders') }} group by customer
),
looked as (
    select customer, count(*) as clicks from {{ source('raw', 'clicks') }} group by customer
)
select customer, coalesce(orders, 0) as orders, coalesce(cents, 0) as cents, coalesce(clicks, 0) as clicks
from bought full join looked using (customer)
