select tailnum, year as built, manufacturer, model, engines, seats
from {{ source('production', 'planes') }}
