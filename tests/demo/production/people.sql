-- People and their bookings, made up from numbers: nothing here is random, so every load makes the same rows.
-- draw(n, what, k) is a number from 0 to k - 1 that depends on n and `what` alone.
create function draw(n bigint, what integer, k bigint) returns bigint language sql immutable parallel safe
    return (hashint8extended(n, 20130101 + what) & 9223372036854775807) % k;

-- Two or three syllables; no list of real people is needed.
create function made_up_name(n bigint, what integer) returns text language sql immutable parallel safe as $$
    select initcap(string_agg(
        (array['ba','ce','di','fo','gu','ha','je','ki','lo','mu','na','pe','ri','so','tu','va','we','xi','yo','za'])
        [1 + draw(n, what + part, 20)], '' order by part)) || (array['n','r','l','s','t',''])[1 + draw(n, what, 6)]
    from generate_series(1, 2 + draw(n, what + 9, 2)::int) as part
$$;

-- ISO 13616: the check digits make the number, country and digits moved to the end, one modulo 97.
create function german_iban(n bigint) returns text language sql immutable parallel safe as $$
    select 'DE' || lpad((98 - (bban || '131400')::numeric % 97)::text, 2, '0') || bban
    from (select lpad((10000000 + draw(n, 70, 89999999))::text, 8, '0') || lpad(draw(n, 71, 10000000000)::text, 10, '0')) as b(bban)
$$;

create table customer as
select
    n as id,
    made_up_name(n, 100) as given_name,
    made_up_name(n, 200) as family_name,
    ''::text as email,
    '+49 30 ' || lpad(draw(n, 1, 100000000)::text, 8, '0') as phone,
    date '1935-01-01' + draw(n, 2, 26000)::int as born_on,
    german_iban(n) as iban,
    (array['DE','FR','GB','IE','IT','NL','PL','PT','SE','US'])[1 + draw(n, 3, 10)]::char(2) as country,
    date '2005-01-01' + draw(n, 4, 2900)::int as signed_up
from generate_series(1::bigint, 200000) as n;
update customer set email = lower(given_name || '.' || family_name) || id || '@example.' ||
    (array['com','net','org'])[1 + draw(id, 5, 3)];

create table booking as
select
    n as id,
    f.id as flight_id,
    1 + draw(n, 11, 200000) as customer_id,
    f.time_hour - make_interval(hours => 2 + draw(n, 12, 2400)::int) as booked_at,
    (array['economy','economy','economy','premium','business'])[1 + draw(n, 13, 5)] as class,
    round((29 + f.distance * 0.08 + draw(n, 14, 12000) / 100.0)::numeric, 2) as price,
    case when draw(n, 15, 100) < 4 then 'cancelled' when draw(n, 15, 100) < 6 then 'missed' else 'flown' end as status,
    chr(65 + draw(n, 16, 6)::int) || (1 + draw(n, 17, 40)) as seat,
    'P' || lpad(draw(n, 18, 100000000)::text, 8, '0') as passport
from generate_series(1::bigint, 1000000) as n
join flights as f on f.id = 1 + draw(n, 10, 336776);
