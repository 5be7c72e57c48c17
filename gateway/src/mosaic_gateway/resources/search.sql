-- Braces are filled with pieces made from registered identifiers and numbered parameters, never with values.
-- However a row was found, it goes out only through {visible} in this statement.

-- name: asked
-- No resource has a name that begins so: it would be hidden by these.
WITH _q AS MATERIALIZED (
    SELECT search_query('{language}', {words}::text, {prefixes}::text[]) AS query, {subject}::uuid AS subject
), _teams AS MATERIALIZED (
    {teams}
), _places AS MATERIALIZED (
    SELECT p.place, query_of_place(q.query, p.place) AS query FROM _q q, ({places}) p (place)
)

-- name: search
-- An item that is NULL may be long: long_search then says how many of them there is room for.
{asked}
SELECT array_agg(CASE WHEN {weight} <= {budget} / {ceiling} / 6 THEN {item} END) AS items
FROM (
    SELECT {raw}, f.rank FROM {rows} ORDER BY {best_first} LIMIT {limit}::bigint
) r

-- name: long_search
{asked}
SELECT array_agg(p.item) AS items
FROM (
    SELECT i.item, i._n, sum(octet_length(i.item)) OVER (ORDER BY i._n) AS _size
    FROM (
        SELECT {item} AS item, r._n
        FROM (
            SELECT r.*, row_number() OVER w AS _n, sum({weight}) OVER w AS _bytes
            FROM (SELECT {raw}, f.rank FROM {rows}) r
            WINDOW w AS (ORDER BY r.rank DESC, {order} ROWS UNBOUNDED PRECEDING)
            ORDER BY r.rank DESC, {order} LIMIT {limit}::bigint
        ) r
        WHERE r._n = 1 OR r._bytes <= {budget}
        OFFSET 0  -- a fence: else Postgres would build each item again wherever its name stands
    ) i
    ORDER BY i._n
) p
WHERE p._n = 1 OR p._size <= {budget}

-- name: rows_of_table
({found}) f JOIN "{table}" r ON {same} WHERE {visible}

-- name: rows_of_view
({found}) r CROSS JOIN LATERAL (SELECT r.rank) f WHERE {visible}

-- name: rows_of_nearest
({nearest}) r CROSS JOIN LATERAL (SELECT r._rank AS rank) f

-- name: text_in_view
-- Each way by itself, whole rows: no condition of a join gets behind the barrier of a view.
SELECT r.*, ts_rank(r._words, (SELECT query FROM _q)) AS rank
FROM (SELECT r.* FROM ({ways}) r ORDER BY {order} LIMIT {ranked}) r
ORDER BY rank DESC, {order} LIMIT {ceiling}

-- name: personal_way_in_view
SELECT r.*, {text_vector} AS _words
FROM "{table}" r WHERE {personal} AND {shown} AND ({text_vector}) @@ (SELECT query FROM _q)

-- name: team_way_in_view
SELECT r.* FROM ({teams}) t CROSS JOIN LATERAL (
    SELECT r.*, {text_vector} AS _words FROM "{table}" r
    WHERE r.team_id = t.team_id AND {shown} AND ({text_vector}) @@ (SELECT query FROM _q)
    OFFSET 0
) r

-- name: text
-- Place by place, and each row is then asked whose it is: two places may have one tag.
SELECT {keys}, r.at, ts_rank(r._words, r._query) AS rank
FROM (
    SELECT {keys}, r.at, r._words, p.query AS _query
    FROM _places p CROSS JOIN LATERAL (
        SELECT {keys}, r.ctid AS at, r.search_vector AS _words FROM "{table}" r
        WHERE r.search_vector @@ p.query AND {in_place} AND {shown}
        OFFSET 0  -- a fence: else of very many places the whole table might be read
    ) r
    ORDER BY {order} LIMIT {ranked}
) r
ORDER BY rank DESC, {order} LIMIT {ceiling}

-- name: text_anew
SELECT {keys}, r.at, ts_rank(r._words, (SELECT query FROM _q)) AS rank
FROM (
    SELECT {keys}, r.ctid AS at, {text_vector} AS _words FROM "{table}" r
    -- Visible, as the index knows it.
    WHERE ARRAY[{place}] && ARRAY(SELECT place FROM _places) AND {shown} AND ({text_vector}) @@ (SELECT query FROM _q)
    ORDER BY {order} LIMIT {ranked}
) r
ORDER BY rank DESC, {order} LIMIT {ceiling}

-- name: in_place
{place} = p.place

-- name: in_place_walked
-- Row-level security comes before the search index here: then all rows of the place are read, and no others.
(r.team_id = p.place OR r.team_id IS NULL AND r.owner_id = p.place)

-- name: place
-- Not with coalesce: a condition with it comes after row-level security.
CASE WHEN r.team_id IS NULL THEN r.owner_id ELSE r.team_id END

-- name: exact
-- All that the viewer sees: through the index few rows among many would be missed.
SELECT {keys}, 1 - v.distance AS rank
FROM ({ways}) r CROSS JOIN LATERAL (
    SELECT v.embedding <=> {embedding} AS distance FROM "{table}_vectors" v
    WHERE v.id = r.id AND v.embedding IS NOT NULL OFFSET 0  -- a fence: else all vectors might be read
) v
WHERE 1 - v.distance >= {similarity}
ORDER BY v.distance, r.id LIMIT {ceiling}

-- name: nearest
SELECT r.*, 1 - r._distance AS _rank
FROM (
    SELECT r.*, v.embedding <=> {embedding} AS _distance
    FROM "{table}_vectors" v CROSS JOIN LATERAL (
        -- A fence: else all that the viewer sees might be read here too, and sorted.
        SELECT r.* FROM "{table}" r WHERE r.id = v.id AND {visible} OFFSET 0
    ) r
    ORDER BY _distance LIMIT {ceiling}
) r
WHERE 1 - r._distance >= {similarity}

-- name: keys_of_nearest
SELECT {keys}, r._rank AS rank FROM ({nearest}) r

-- name: hybrid
-- Reciprocal rank fusion, with the constant of the paper (Cormack, Clarke, Büttcher, SIGIR 2009).
SELECT {keys}, sum(1.0 / (60 + r.place))::float8 AS rank
FROM (
    SELECT {keys}, row_number() OVER (ORDER BY r.rank DESC, {order}) AS place FROM ({text}) r
    UNION ALL
    SELECT {keys}, row_number() OVER (ORDER BY r.rank DESC, {order}) AS place FROM ({vector}) r
) r
GROUP BY {keys}

-- name: many
SELECT EXISTS (SELECT FROM ({ways}) r OFFSET {most}) AS many

-- name: indexed
SELECT language FROM unnest($1::text[]) language
JOIN pg_index i ON i.indexrelid = to_regclass(format('%I', '{table}_' || language || '_idx')) WHERE i.indisvalid

-- name: personal_way
SELECT {keys} FROM "{table}" r WHERE {personal} AND {shown}

-- name: team_way
SELECT {keys} FROM ({teams}) t JOIN "{table}" r ON r.team_id = t.team_id WHERE {shown}

-- name: highlight
ts_headline('{language}', translate(left(r."{column}", {most}), E'\x02\x03', ''), (SELECT query FROM _q),
            E'StartSel=\x02, StopSel=\x03, {how}') AS "{column}"

-- name: with_settings
-- For this statement alone: how far the index is followed. The inside waits for the settings.
SELECT found.*
FROM (SELECT set_config('hnsw.ef_search', '100', true) || set_config('hnsw.iterative_scan', 'strict_order', true) AS done
      OFFSET 0) s
CROSS JOIN LATERAL (SELECT f.* FROM ({statement}) f WHERE s.done IS NOT NULL OFFSET 0) found
