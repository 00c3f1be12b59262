select id as booking_id, flight_id, customer_id, booked_at, class, price, status
from {{ source('production', 'booking') }}
