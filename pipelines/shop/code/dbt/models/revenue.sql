select day, count(*) as orders, sum(cents) as cents from {{ source('raw', 'orders') }} group by day
