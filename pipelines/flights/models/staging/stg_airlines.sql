select carrier, name as airline
from {{ source('production', 'airlines') }}
