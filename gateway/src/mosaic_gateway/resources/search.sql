-- Braces are filled with pieces made from registered identifiers and numbered parameters, never with values.
-- However a row was found, it goes out only through {visible} in this statement.

-- name: search
WITH q AS MATERIALIZED (
    SELECT search_query('{language}', {words}::text, {prefixes}::text[]) AS query, {subject}::uuid AS subject
)
SELECT coalesce(string_agg(p.item, ','), '') AS items, count(*) AS found
FROM (
    SELECT left({json}, -1) || ',"rank":' || to_json(r.rank)::text || {highlights}'}}' AS item
    FROM (
        SELECT r.*, row_number() OVER w AS _n, sum({weight}) OVER w AS _bytes
        FROM (SELECT {raw}, f.rank FROM {rows} WHERE {visible}) r
        WINDOW w AS (ORDER BY r.rank DESC, {order} ROWS UNBOUNDED PRECEDING)
        ORDER BY r.rank DESC, {order} LIMIT {limit}::bigint
    ) r
    WHERE r._n = 1 OR r._bytes <= {budget}
    ORDER BY r._n
) p

-- name: rows_of_table
({found}) f JOIN "{table}" r ON r.id = f.id

-- name: rows_of_view
({found}) r CROSS JOIN LATERAL (SELECT r.rank) f

-- name: text_in_view
-- Each way by itself, whole rows: no condition of a join gets behind the barrier of a view.
SELECT r.*, ts_rank(r._words, (SELECT query FROM q)) AS rank
FROM (SELECT r.* FROM ({ways}) r ORDER BY {order} LIMIT {ranked}) r
ORDER BY rank DESC, {order} LIMIT {ceiling}

-- name: personal_way_in_view
SELECT r.*, {text_vector} AS _words
FROM "{table}" r WHERE {personal} AND {shown} AND ({text_vector}) @@ (SELECT query FROM q)

-- name: team_way_in_view
SELECT r.* FROM ({teams}) t CROSS JOIN LATERAL (
    SELECT r.*, {text_vector} AS _words FROM "{table}" r
    WHERE r.team_id = t.team_id AND {shown} AND ({text_vector}) @@ (SELECT query FROM q)
    OFFSET 0
) r

-- name: text
SELECT {keys}, ts_rank(r._words, (SELECT query FROM q)) AS rank
FROM (
    SELECT {keys}, {text_vector} AS _words FROM "{table}" r
    -- Visible, as the index knows it. Not with coalesce: a condition with it comes after row-level security.
    WHERE ARRAY[CASE WHEN r.team_id IS NULL THEN r.owner_id ELSE r.team_id END] && ARRAY({places}) AND {shown}
      AND ({text_vector}) @@ (SELECT query FROM q)
    ORDER BY {order} LIMIT {ranked}
) r
ORDER BY rank DESC, {order} LIMIT {ceiling}

-- name: vector
WITH few AS MATERIALIZED (SELECT {keys} FROM ({ways}) r LIMIT {exact} + 1),
     many AS MATERIALIZED (SELECT count(*) > {exact} AS yes FROM few)
SELECT {keys}, 1 - r.distance AS rank
FROM (
    (
        -- All that the viewer sees: exact. Through the index few rows among many would be missed.
        SELECT {keys}, v.distance FROM few r CROSS JOIN LATERAL (
            SELECT v.embedding <=> {embedding} AS distance FROM "{table}_vectors" v
            WHERE v.id = r.id AND v.embedding IS NOT NULL OFFSET 0  -- a fence: else all vectors might be read
        ) v
        WHERE NOT (SELECT yes FROM many)
        ORDER BY v.distance, r.id LIMIT {ceiling}
    ) UNION ALL (
        SELECT {keys}, v.embedding <=> {embedding} AS distance
        FROM "{table}_vectors" v CROSS JOIN LATERAL (
            -- A fence: else all that the viewer sees might be read here too, and sorted.
            SELECT {keys} FROM "{table}" r WHERE r.id = v.id AND {visible} OFFSET 0
        ) r
        WHERE (SELECT yes FROM many)
        ORDER BY distance LIMIT {ceiling}
    )
) r
WHERE 1 - r.distance >= {similarity}

-- name: hybrid
-- Reciprocal rank fusion, with the constant of the paper (Cormack, Clarke, Büttcher, SIGIR 2009).
SELECT {keys}, sum(1.0 / (60 + r.place))::float8 AS rank
FROM (
    SELECT {keys}, row_number() OVER (ORDER BY r.rank DESC, {order}) AS place FROM ({text}) r
    UNION ALL
    SELECT {keys}, row_number() OVER (ORDER BY r.rank DESC, {order}) AS place FROM ({vector}) r
) r
GROUP BY {keys}

-- name: unindexed
SELECT (SELECT count(*) FROM (SELECT FROM ({ways}) r LIMIT {most} + 1) r) > {most} AS many,
       ARRAY(SELECT language FROM unnest({known}::text[]) language
             JOIN pg_index i ON i.indexrelid = to_regclass(format('%I', '{table}_' || language || '_idx'))
             WHERE i.indisvalid) AS indexed

-- name: personal_way
SELECT {keys} FROM "{table}" r WHERE {personal} AND {shown}

-- name: team_way
SELECT {keys} FROM ({teams}) t JOIN "{table}" r ON r.team_id = t.team_id WHERE {shown}

-- name: highlight
ts_headline('{language}', translate(left(r."{column}", {most}), E'\x02\x03', ''), (SELECT query FROM q),
            E'StartSel=\x02, StopSel=\x03, {how}') AS "{column}"

-- name: with_settings
-- For this statement alone: how far the index is followed. The inside waits for the settings.
SELECT found.*
FROM (SELECT set_config('hnsw.ef_search', '100', true) || set_config('hnsw.iterative_scan', 'strict_order', true) AS done
      OFFSET 0) s
CROSS JOIN LATERAL (SELECT f.* FROM ({statement}) f WHERE s.done IS NOT NULL OFFSET 0) found
