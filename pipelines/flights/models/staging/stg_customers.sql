select id as customer_id, country, signed_up
from {{ source('production', 'customer') }}
