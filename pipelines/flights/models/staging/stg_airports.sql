select faa as airport, name, lat, lon, tzone
from {{ source('production', 'airports') }}
