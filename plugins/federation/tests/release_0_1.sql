-- The database of release 0.1 as its pg_dump left it, with rows in every state; sealed with key k1 of 32 times 's'.

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA mosaic;

CREATE TYPE mosaic.grant_status AS ENUM (
    'pending',
    'active',
    'revoked',
    'expired'
);

CREATE TYPE mosaic.peer_readers AS ENUM (
    'admins',
    'everyone'
);

CREATE TYPE mosaic.peer_state AS ENUM (
    'pending',
    'active',
    'removed'
);

CREATE TYPE mosaic.user_role AS ENUM (
    'admin',
    'member'
);

CREATE FUNCTION mosaic.federation_audit_log_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION mosaic.make_resource(table_name text, search_columns text[] DEFAULT '{}'::text[]) RETURNS void
    LANGUAGE plpgsql
    AS $_$
DECLARE
    vector text;
BEGIN
    IF table_name !~ '^[a-z][a-z0-9_]{0,39}$' THEN  -- so that the names of its indexes fit too
        RAISE EXCEPTION 'resource name % is not 1 to 40 lower-case letters, digits or _', table_name;
    END IF;
    EXECUTE format($ddl$
        ALTER TABLE %1$I
            ADD COLUMN id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            ADD COLUMN owner_id    uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
            ADD COLUMN team_id     uuid REFERENCES teams ON DELETE RESTRICT,
            ADD COLUMN external_id text CHECK (length(external_id) BETWEEN 1 AND 500),
            ADD COLUMN created_at  timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN version     bigint NOT NULL DEFAULT 1 CHECK (version > 0)
    $ddl$, table_name);

    -- The two ways to a visible row, newest first: mine, or my team's.
    EXECUTE format('CREATE INDEX %I ON %I (owner_id, created_at, id) WHERE team_id IS NULL',
                   table_name || '_personal_idx', table_name);
    EXECUTE format('CREATE INDEX %I ON %I (team_id, created_at, id) WHERE team_id IS NOT NULL',
                   table_name || '_team_idx', table_name);
    -- Imports find their earlier rows by this.
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I ((coalesce(team_id, owner_id)), external_id)'
                   ' WHERE external_id IS NOT NULL', table_name || '_external_id_key', table_name);

    -- The first search column (a title) weighs more than the others.
    SELECT string_agg(format('setweight(to_tsvector(''english'', coalesce(left(%I, 100000), '''')), %L)',
                             name, CASE position WHEN 1 THEN 'A' ELSE 'B' END), ' || ' ORDER BY position)
      INTO vector
      FROM unnest(search_columns) WITH ORDINALITY AS s (name, position);
    IF vector IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I ADD COLUMN search_vector tsvector GENERATED ALWAYS AS (%s) STORED',
                       table_name, vector);
        EXECUTE format('CREATE INDEX %I ON %I USING gin (search_vector)',
                       table_name || '_search_idx', table_name);
    END IF;
END
$_$;

CREATE FUNCTION mosaic.make_vectors(resource text, dimensions integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    vectors text := resource || '_vectors';
BEGIN
    IF to_regtype('vector') IS NULL THEN
        RAISE EXCEPTION 'make_vectors(%): there is no type vector here', resource
            USING HINT = 'Mark the migration set with needs_vector, and set storage.enable_vector.';
    END IF;
    IF dimensions NOT BETWEEN 1 AND 2000 THEN
        RAISE EXCEPTION 'make_vectors(%): % dimensions, and 1 to 2000 can be indexed', resource, dimensions;
    END IF;
    EXECUTE format('CREATE TABLE %I (id uuid PRIMARY KEY REFERENCES %I ON DELETE CASCADE,'
                   ' embedding vector(%s) NOT NULL)', vectors, resource, dimensions);
    EXECUTE format('ALTER TABLE %I ALTER embedding SET STORAGE PLAIN', vectors);
    EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_cosine_ops)'
                   ' WITH (m = 16, ef_construction = 64)', vectors || '_hnsw_idx', vectors);
END
$$;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE mosaic.api_tokens (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_tokens_check CHECK ((expires_at > created_at)),
    CONSTRAINT api_tokens_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_tokens_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT api_tokens_prefix_check CHECK ((prefix ~ '^[a-z0-9]{8}$'::text))
);

CREATE TABLE mosaic.embedded_ca_authority (
    id smallint NOT NULL,
    certificate bytea NOT NULL,
    sealed_key bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT embedded_ca_authority_id_check CHECK ((id = 1))
);

CREATE TABLE mosaic.embedded_ca_certificates (
    serial text NOT NULL,
    grant_id uuid,
    not_after timestamp with time zone NOT NULL,
    issued_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone
);

CREATE TABLE mosaic.federation_audit_log (
    stream uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    peer text NOT NULL,
    grant_id uuid,
    subject_id uuid,
    serial text NOT NULL,
    verb text NOT NULL,
    resource text NOT NULL,
    query_hash text NOT NULL,
    outcome text NOT NULL,
    rows bigint NOT NULL,
    bytes_out bigint NOT NULL,
    latency_us bigint NOT NULL,
    request_id text NOT NULL,
    payload text NOT NULL,
    prev bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT federation_audit_log_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT federation_audit_log_prev_check CHECK ((length(prev) = 32)),
    CONSTRAINT federation_audit_log_seq_check CHECK ((seq > 0))
);

CREATE TABLE mosaic.federation_enrollment_tokens (
    token_hash bytea NOT NULL,
    grant_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    consumed_at timestamp with time zone,
    CONSTRAINT federation_enrollment_tokens_token_hash_check CHECK ((length(token_hash) = 32))
);

CREATE TABLE mosaic.federation_grants (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    subject_id uuid NOT NULL,
    peer_name text NOT NULL,
    peer_gateway text,
    scope jsonb NOT NULL,
    status mosaic.grant_status DEFAULT 'pending'::mosaic.grant_status NOT NULL,
    serial text,
    not_after timestamp with time zone,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    activated_at timestamp with time zone,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    revoked_by text,
    reason text,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT federation_grants_check CHECK ((expires_at > created_at)),
    CONSTRAINT federation_grants_check1 CHECK (((status <> 'active'::mosaic.grant_status) OR ((serial IS NOT NULL) AND (not_after IS NOT NULL) AND (activated_at IS NOT NULL)))),
    CONSTRAINT federation_grants_check2 CHECK (((status = 'revoked'::mosaic.grant_status) = (revoked_at IS NOT NULL)))
);

CREATE TABLE mosaic.federation_peers (
    id uuid NOT NULL,
    name text NOT NULL,
    state mosaic.peer_state DEFAULT 'pending'::mosaic.peer_state NOT NULL,
    gateway text NOT NULL,
    url text NOT NULL,
    grant_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    subject text NOT NULL,
    scope jsonb NOT NULL,
    ca bytea NOT NULL,
    chain bytea NOT NULL,
    sealed_key bytea,
    serial text NOT NULL,
    not_after timestamp with time zone NOT NULL,
    readers mosaic.peer_readers NOT NULL,
    added_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT federation_peers_check CHECK (((state = 'removed'::mosaic.peer_state) = (sealed_key IS NULL))),
    CONSTRAINT federation_peers_check1 CHECK (((state = 'removed'::mosaic.peer_state) = (removed_at IS NOT NULL)))
);

CREATE TABLE mosaic.federation_server_identity (
    host text NOT NULL,
    chain bytea NOT NULL,
    sealed_key bytea NOT NULL,
    not_after timestamp with time zone NOT NULL
);

CREATE TABLE mosaic.memberships (
    team_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role mosaic.user_role DEFAULT 'member'::mosaic.user_role NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE mosaic.migrations (
    component text NOT NULL,
    version integer NOT NULL,
    phase text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT migrations_phase_check CHECK ((phase = ANY (ARRAY['pre'::text, 'post'::text])))
);

CREATE TABLE mosaic.notes (
    title text NOT NULL,
    body text DEFAULT ''::text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    owner_id uuid NOT NULL,
    team_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    search_vector tsvector GENERATED ALWAYS AS ((setweight(to_tsvector('english'::regconfig, COALESCE("left"(title, 100000), ''::text)), 'A'::"char") || setweight(to_tsvector('english'::regconfig, COALESCE("left"(body, 100000), ''::text)), 'B'::"char"))) STORED,
    CONSTRAINT notes_external_id_check CHECK (((length(external_id) >= 1) AND (length(external_id) <= 500))),
    CONSTRAINT notes_title_check CHECK (((length(title) >= 1) AND (length(title) <= 500))),
    CONSTRAINT notes_version_check CHECK ((version > 0))
);

CREATE TABLE mosaic.tasks (
    title text NOT NULL,
    body text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'open'::text NOT NULL,
    priority smallint,
    due_at timestamp with time zone,
    completed_at timestamp with time zone,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    owner_id uuid NOT NULL,
    team_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    search_vector tsvector GENERATED ALWAYS AS ((setweight(to_tsvector('english'::regconfig, COALESCE("left"(title, 100000), ''::text)), 'A'::"char") || setweight(to_tsvector('english'::regconfig, COALESCE("left"(body, 100000), ''::text)), 'B'::"char"))) STORED,
    CONSTRAINT tasks_external_id_check CHECK (((length(external_id) >= 1) AND (length(external_id) <= 500))),
    CONSTRAINT tasks_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    CONSTRAINT tasks_status_check CHECK ((status = ANY (ARRAY['open'::text, 'doing'::text, 'done'::text, 'cancelled'::text]))),
    CONSTRAINT tasks_title_check CHECK (((length(title) >= 1) AND (length(title) <= 500))),
    CONSTRAINT tasks_version_check CHECK ((version > 0))
);

CREATE TABLE mosaic.teams (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT teams_name_check CHECK ((length(name) <= 200)),
    CONSTRAINT teams_slug_check CHECK ((slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text))
);

CREATE TABLE mosaic.users (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    username text NOT NULL,
    display_name text DEFAULT ''::text NOT NULL,
    role mosaic.user_role DEFAULT 'member'::mosaic.user_role NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT users_display_name_check CHECK ((length(display_name) <= 200)),
    CONSTRAINT users_username_check CHECK ((username ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'::text))
);

INSERT INTO mosaic.embedded_ca_authority VALUES (1, '\x2d2d2d2d2d424547494e2043455254494649434154452d2d2d2d2d0a4d494942787a434341573267417749424167495551326b7a784d33776d5030514b5838324b6b797935544b6a66424d77436759494b6f5a497a6a3045417749770a514445584d425547413155454367774f5457397a59576c6a494564686447563359586b784a54416a42674e5642414d4d4845317663324670597942485958526c0a6432463549475674596d566b5a47566b49484a76623351774868634e4d6a59784d5449784d6a49774f54457a5768634e4d7a59784d5445344d6a49784d44457a0a576a42414d526377465159445651514b4441354e62334e6861574d67523246305a5864686554456c4d434d4741315545417777635457397a59576c6a494564680a6447563359586b675a5731695a57526b5a575167636d39766444425a4d424d4742797147534d34394167454743437147534d34394177454841304941424870320a51644372464b722f4e7443702f755a467573414f34334f44547446757954307038357a794a364f6f46686277375751514e4f493563794c45586850664e3479630a4149627a596e5472424f367978534b672f69326a525442444d42304741315564446751574242526463796e317131636f592f6a4163725668527133696f3250540a676a415342674e5648524d4241663845434441474151482f416745414d41344741315564447745422f77514541774942426a414b42676771686b6a4f505151440a41674e4941444246416942366d63622b6c6a326c724a36326f7373383939597a5231636d42794f6e7146594a6349625144534c3462414968414a51324a78664f0a734e306d59415852322f5a72635267504b447031546a684d2f325a4b554b674a373834590a2d2d2d2d2d454e442043455254494649434154452d2d2d2d2d0a', '\x6d6f7361696331026b3171ac531be6d32e70a8001bbc3c3f4e876f1425affc0cc3a9dc4ca2ffe78135c900a4af0aa19e5a12290ae06442cbbe2c1ec2c319462b189e93a130579e36a5b77cc44e6cce4a15ff673d538df032f0e0b6a71a4f883c2268871252951c3757ebcde3c07819d20faaf96f7e48c4680dc8a113e0a477d09b1c7ffd46227f345e22c002b128ff13a733acef53e2d51122475c754c74191ff8433cbba8775f815b0be4991beb4f87', '2026-11-21 22:10:13.776886+00');

INSERT INTO mosaic.embedded_ca_certificates VALUES ('77682a9abb0b9f8dbe18efd38ff1028902fd7936', '15837c58-adff-4150-8af5-6f4c15caac6b', '2026-11-22 22:10:13+00', '2026-11-21 22:10:13.796467+00', NULL);
INSERT INTO mosaic.embedded_ca_certificates VALUES ('39988765e2ee53b3ce29e1697b28705ff03c460f', '4bc499cb-b365-4500-a446-4942eca024cf', '2026-11-22 22:10:13+00', '2026-11-21 22:10:13.870389+00', '2026-11-21 22:10:13.877222+00');
INSERT INTO mosaic.embedded_ca_certificates VALUES ('4143733346cfe9815a7aae25fe85d0f21503c2a2', 'bc8494fe-6c6f-43cb-8b6e-06f443f3a5e6', '2026-11-22 22:10:13+00', '2026-11-21 22:10:13.898544+00', NULL);
INSERT INTO mosaic.embedded_ca_certificates VALUES ('227141f4bba82a2b61378126104383610747825e', NULL, '2027-02-19 22:10:13+00', '2026-11-21 22:10:13.917334+00', NULL);
INSERT INTO mosaic.embedded_ca_certificates VALUES ('61397e303521a2aaaf75f7a725734bc6c8673402', 'b41393c9-1593-48d0-8d74-2ee651c7d97c', '2026-11-22 22:10:13+00', '2026-11-21 22:10:13.934917+00', NULL);

INSERT INTO mosaic.federation_audit_log VALUES ('118705a5-0992-4e93-8bc7-77e6704afa1c', 1, '2026-11-21 22:10:13.806309+00', 'home', '15837c58-adff-4150-8af5-6f4c15caac6b', '54ec9248-64df-45f2-ac87-df2e515307f3', '77682a9abb0b9f8dbe18efd38ff1028902fd7936', 'enroll', '', 'aa61b380757bfed5c0fd6d5c3e4eb3a0d6ac4369525cb717ed7027724624272b', 'ok', 0, 0, 22390, 'r', '{"at":"2026-11-21T22:10:13.806309+00:00","bytes_out":0,"grant_id":"15837c58-adff-4150-8af5-6f4c15caac6b","latency_us":22390,"outcome":"ok","peer":"home","query_hash":"aa61b380757bfed5c0fd6d5c3e4eb3a0d6ac4369525cb717ed7027724624272b","request_id":"r","resource":"","rows":0,"seq":1,"serial":"77682a9abb0b9f8dbe18efd38ff1028902fd7936","stream":"118705a5-0992-4e93-8bc7-77e6704afa1c","subject_id":"54ec9248-64df-45f2-ac87-df2e515307f3","verb":"enroll"}', '\x0000000000000000000000000000000000000000000000000000000000000000', '\x16442161e8779449abac9d8ed08550e2c5ebca97b7afec6ab371f1c16da71dcf');
INSERT INTO mosaic.federation_audit_log VALUES ('118705a5-0992-4e93-8bc7-77e6704afa1c', 2, '2026-11-21 22:10:13.850445+00', 'home', '15837c58-adff-4150-8af5-6f4c15caac6b', '54ec9248-64df-45f2-ac87-df2e515307f3', '77682a9abb0b9f8dbe18efd38ff1028902fd7936', 'list', 'tasks', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'ok', 3, 1087, 24292, 'r1', '{"at":"2026-11-21T22:10:13.850445+00:00","bytes_out":1087,"grant_id":"15837c58-adff-4150-8af5-6f4c15caac6b","latency_us":24292,"outcome":"ok","peer":"home","query_hash":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","request_id":"r1","resource":"tasks","rows":3,"seq":2,"serial":"77682a9abb0b9f8dbe18efd38ff1028902fd7936","stream":"118705a5-0992-4e93-8bc7-77e6704afa1c","subject_id":"54ec9248-64df-45f2-ac87-df2e515307f3","verb":"list"}', '\x16442161e8779449abac9d8ed08550e2c5ebca97b7afec6ab371f1c16da71dcf', '\x6fb28bbc3c662d9c934919666b60f34b98d44174e76c3da0d6b91cb87b048be9');
INSERT INTO mosaic.federation_audit_log VALUES ('118705a5-0992-4e93-8bc7-77e6704afa1c', 3, '2026-11-21 22:10:13.872816+00', 'home', '4bc499cb-b365-4500-a446-4942eca024cf', '54ec9248-64df-45f2-ac87-df2e515307f3', '39988765e2ee53b3ce29e1697b28705ff03c460f', 'enroll', '', 'fd9772ac3be41b03361eba98a479a84fdc2e83cc71d34f09f50ca509bfb0fb3b', 'ok', 0, 0, 7142, 'r', '{"at":"2026-11-21T22:10:13.872816+00:00","bytes_out":0,"grant_id":"4bc499cb-b365-4500-a446-4942eca024cf","latency_us":7142,"outcome":"ok","peer":"home","query_hash":"fd9772ac3be41b03361eba98a479a84fdc2e83cc71d34f09f50ca509bfb0fb3b","request_id":"r","resource":"","rows":0,"seq":3,"serial":"39988765e2ee53b3ce29e1697b28705ff03c460f","stream":"118705a5-0992-4e93-8bc7-77e6704afa1c","subject_id":"54ec9248-64df-45f2-ac87-df2e515307f3","verb":"enroll"}', '\x6fb28bbc3c662d9c934919666b60f34b98d44174e76c3da0d6b91cb87b048be9', '\x337beb49cc999d35e46092ae3facf78f157cf4989720e67601b17bb5ac6b96bd');
INSERT INTO mosaic.federation_audit_log VALUES ('118705a5-0992-4e93-8bc7-77e6704afa1c', 4, '2026-11-21 22:10:13.879742+00', 'home', '4bc499cb-b365-4500-a446-4942eca024cf', '54ec9248-64df-45f2-ac87-df2e515307f3', '39988765e2ee53b3ce29e1697b28705ff03c460f', 'list', 'notes', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'forbidden', 0, 0, 1030, 'r2', '{"at":"2026-11-21T22:10:13.879742+00:00","bytes_out":0,"grant_id":"4bc499cb-b365-4500-a446-4942eca024cf","latency_us":1030,"outcome":"forbidden","peer":"home","query_hash":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","request_id":"r2","resource":"notes","rows":0,"seq":4,"serial":"39988765e2ee53b3ce29e1697b28705ff03c460f","stream":"118705a5-0992-4e93-8bc7-77e6704afa1c","subject_id":"54ec9248-64df-45f2-ac87-df2e515307f3","verb":"list"}', '\x337beb49cc999d35e46092ae3facf78f157cf4989720e67601b17bb5ac6b96bd', '\xf03047425d45a9d5b5e906ce1d1d7eef0a1c91486a0c79117fc9930fd6f94e42');
INSERT INTO mosaic.federation_audit_log VALUES ('118705a5-0992-4e93-8bc7-77e6704afa1c', 5, '2026-11-21 22:10:13.90259+00', 'home', 'bc8494fe-6c6f-43cb-8b6e-06f443f3a5e6', '54ec9248-64df-45f2-ac87-df2e515307f3', '4143733346cfe9815a7aae25fe85d0f21503c2a2', 'enroll', '', '7d4fbfdab3af1695afdc8f515672a03b3a704b5cd226fce03ff2625cb88f31ba', 'ok', 0, 0, 7933, 'r', '{"at":"2026-11-21T22:10:13.902590+00:00","bytes_out":0,"grant_id":"bc8494fe-6c6f-43cb-8b6e-06f443f3a5e6","latency_us":7933,"outcome":"ok","peer":"home","query_hash":"7d4fbfdab3af1695afdc8f515672a03b3a704b5cd226fce03ff2625cb88f31ba","request_id":"r","resource":"","rows":0,"seq":5,"serial":"4143733346cfe9815a7aae25fe85d0f21503c2a2","stream":"118705a5-0992-4e93-8bc7-77e6704afa1c","subject_id":"54ec9248-64df-45f2-ac87-df2e515307f3","verb":"enroll"}', '\xf03047425d45a9d5b5e906ce1d1d7eef0a1c91486a0c79117fc9930fd6f94e42', '\xdbb7bf85212627f7b8acfade6f58ee7fb229336051e53e8f31b0e3db6d087a7c');
INSERT INTO mosaic.federation_audit_log VALUES ('118705a5-0992-4e93-8bc7-77e6704afa1c', 6, '2026-11-21 22:10:13.937321+00', 'home', 'b41393c9-1593-48d0-8d74-2ee651c7d97c', '54ec9248-64df-45f2-ac87-df2e515307f3', '61397e303521a2aaaf75f7a725734bc6c8673402', 'enroll', '', 'cf81bb79c7c141c413cbed990e881422535100e43bc6261000778e523346498e', 'ok', 0, 0, 9363, 'r3', '{"at":"2026-11-21T22:10:13.937321+00:00","bytes_out":0,"grant_id":"b41393c9-1593-48d0-8d74-2ee651c7d97c","latency_us":9363,"outcome":"ok","peer":"home","query_hash":"cf81bb79c7c141c413cbed990e881422535100e43bc6261000778e523346498e","request_id":"r3","resource":"","rows":0,"seq":6,"serial":"61397e303521a2aaaf75f7a725734bc6c8673402","stream":"118705a5-0992-4e93-8bc7-77e6704afa1c","subject_id":"54ec9248-64df-45f2-ac87-df2e515307f3","verb":"enroll"}', '\xdbb7bf85212627f7b8acfade6f58ee7fb229336051e53e8f31b0e3db6d087a7c', '\x13f037817b05a98613bd73273338a31c9f70dc2165526d1efa8a20a6cdd4c937');

INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\xaa61b380757bfed5c0fd6d5c3e4eb3a0d6ac4369525cb717ed7027724624272b', '15837c58-adff-4150-8af5-6f4c15caac6b', '2026-11-21 22:10:13.7787+00', '2026-11-21 22:25:13.7787+00', '2026-11-21 22:10:13.786726+00');
INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\xfd9772ac3be41b03361eba98a479a84fdc2e83cc71d34f09f50ca509bfb0fb3b', '4bc499cb-b365-4500-a446-4942eca024cf', '2026-11-21 22:10:13.86335+00', '2026-11-21 22:25:13.86335+00', '2026-11-21 22:10:13.866433+00');
INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\x7d4fbfdab3af1695afdc8f515672a03b3a704b5cd226fce03ff2625cb88f31ba', 'bc8494fe-6c6f-43cb-8b6e-06f443f3a5e6', '2026-11-21 22:10:13.892453+00', '2026-11-21 22:25:13.892453+00', '2026-11-21 22:10:13.896812+00');
INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\xc58e6834dfd7262237e82173175d088b7867efa44c03a20aec70ce20d808d877', '27ded750-b15a-4bd1-a721-dfd32de8b34f', '2026-11-21 22:10:13.906878+00', '2026-11-21 22:10:13.90885+00', NULL);
INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\x762d8f0d6d919d3d5da86a3d4a15852c5de80aa11375163b4592aaaf7697301a', 'ff3bb808-58fa-4a79-83ef-51b1a59c5360', '2026-11-21 22:10:13.886408+00', '2126-01-01 00:00:00+00', NULL);
INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\xcf8421eb9196ff968b332bce6535dd900dcc990c3f69ecf3b368816d3a121e2b', '111e8310-e703-44f4-926f-09448c523761', '2026-11-21 22:10:13.889662+00', '2126-01-01 00:00:00+00', NULL);
INSERT INTO mosaic.federation_enrollment_tokens VALUES ('\xcf81bb79c7c141c413cbed990e881422535100e43bc6261000778e523346498e', 'b41393c9-1593-48d0-8d74-2ee651c7d97c', '2026-11-21 22:10:13.923676+00', '2026-11-21 22:25:13.923676+00', '2026-11-21 22:10:13.93293+00');

INSERT INTO mosaic.federation_grants VALUES ('15837c58-adff-4150-8af5-6f4c15caac6b', '54ec9248-64df-45f2-ac87-df2e515307f3', 'home', 'home', '{"resources": ["tasks", "notes"], "include_teams": ["2f59edcb-bf8f-49e7-9413-21868ae873e7"], "include_personal": true, "excluded_resources": ["tasks/070b2f25-7dcd-4e69-baa7-7d8a518eb3b4"], "max_rows_per_query": 50}', 'active', '77682a9abb0b9f8dbe18efd38ff1028902fd7936', '2026-11-22 22:10:13+00', 'test', '2026-11-21 22:10:13.7787+00', '2026-11-21 22:10:13.786726+00', NULL, NULL, NULL, NULL, 2);
INSERT INTO mosaic.federation_grants VALUES ('4bc499cb-b365-4500-a446-4942eca024cf', '54ec9248-64df-45f2-ac87-df2e515307f3', 'home', 'home', '{"resources": ["notes"], "include_teams": "all", "include_personal": false, "excluded_resources": [], "max_rows_per_query": 100}', 'revoked', '39988765e2ee53b3ce29e1697b28705ff03c460f', '2026-11-22 22:10:13+00', 'test', '2026-11-21 22:10:13.86335+00', '2026-11-21 22:10:13.866433+00', NULL, '2026-11-21 22:10:13.876288+00', 'cli:root', 'project ended', 3);
INSERT INTO mosaic.federation_grants VALUES ('ff3bb808-58fa-4a79-83ef-51b1a59c5360', '54ec9248-64df-45f2-ac87-df2e515307f3', 'home', NULL, '{"resources": ["tasks", "notes", "tasks"], "include_teams": ["2f59edcb-bf8f-49e7-9413-21868ae873e7", "2f59edcb-bf8f-49e7-9413-21868ae873e7"], "include_personal": true, "excluded_resources": ["tasks/070b2f25-7dcd-4e69-baa7-7d8a518eb3b4", "notes/070b2f25-7dcd-4e69-baa7-7d8a518eb3b4", "tasks/070b2f25-7dcd-4e69-baa7-7d8a518eb3b4"], "max_rows_per_query": 100}', 'pending', NULL, NULL, 'test', '2026-11-21 22:10:13.886408+00', NULL, NULL, NULL, NULL, NULL, 1);
INSERT INTO mosaic.federation_grants VALUES ('bc8494fe-6c6f-43cb-8b6e-06f443f3a5e6', '54ec9248-64df-45f2-ac87-df2e515307f3', 'home', 'home', '{"resources": ["tasks"], "include_teams": [], "include_personal": true, "excluded_resources": [], "max_rows_per_query": 100}', 'expired', '4143733346cfe9815a7aae25fe85d0f21503c2a2', '2026-11-22 22:10:13+00', 'test', '2026-11-19 22:10:13.903993+00', '2026-11-21 22:10:13.896812+00', '2026-11-21 22:10:13.903993+00', NULL, NULL, NULL, 3);
INSERT INTO mosaic.federation_grants VALUES ('27ded750-b15a-4bd1-a721-dfd32de8b34f', '54ec9248-64df-45f2-ac87-df2e515307f3', 'home', NULL, '{"resources": ["notes"], "include_teams": [], "include_personal": true, "excluded_resources": [], "max_rows_per_query": 100}', 'expired', NULL, NULL, 'test', '2026-11-21 22:10:13.906878+00', NULL, NULL, NULL, NULL, NULL, 2);
INSERT INTO mosaic.federation_grants VALUES ('111e8310-e703-44f4-926f-09448c523761', '54ec9248-64df-45f2-ac87-df2e515307f3', 'guest', NULL, '{"resources": ["credentials"], "include_teams": [], "include_personal": true, "excluded_resources": [], "max_rows_per_query": 100}', 'pending', NULL, NULL, 'cli:root', '2026-11-21 22:10:13.889662+00', NULL, '2126-01-01 00:00:00+00', NULL, NULL, NULL, 1);
INSERT INTO mosaic.federation_grants VALUES ('b41393c9-1593-48d0-8d74-2ee651c7d97c', '54ec9248-64df-45f2-ac87-df2e515307f3', 'home', 'home', '{"resources": ["tasks"], "include_teams": [], "include_personal": true, "excluded_resources": [], "max_rows_per_query": 100}', 'active', '61397e303521a2aaaf75f7a725734bc6c8673402', '2026-11-22 22:10:13+00', 'test', '2026-11-21 22:10:13.923676+00', '2026-11-21 22:10:13.93293+00', NULL, NULL, NULL, NULL, 2);

INSERT INTO mosaic.federation_peers VALUES ('5c6c50bc-af58-47bf-a409-05e60aa66815', 'work', 'active', 'work', 'https://127.0.0.1:8443', 'b41393c9-1593-48d0-8d74-2ee651c7d97c', '54ec9248-64df-45f2-ac87-df2e515307f3', 'ada', '{"resources": ["tasks"], "include_teams": [], "include_personal": true, "excluded_resources": [], "max_rows_per_query": 100}', '\x2d2d2d2d2d424547494e2043455254494649434154452d2d2d2d2d0a4d494942787a434341573267417749424167495551326b7a784d33776d5030514b5838324b6b797935544b6a66424d77436759494b6f5a497a6a3045417749770a514445584d425547413155454367774f5457397a59576c6a494564686447563359586b784a54416a42674e5642414d4d4845317663324670597942485958526c0a6432463549475674596d566b5a47566b49484a76623351774868634e4d6a59784d5449784d6a49774f54457a5768634e4d7a59784d5445344d6a49784d44457a0a576a42414d526377465159445651514b4441354e62334e6861574d67523246305a5864686554456c4d434d4741315545417777635457397a59576c6a494564680a6447563359586b675a5731695a57526b5a575167636d39766444425a4d424d4742797147534d34394167454743437147534d34394177454841304941424870320a51644372464b722f4e7443702f755a467573414f34334f44547446757954307038357a794a364f6f46686277375751514e4f493563794c45586850664e3479630a4149627a596e5472424f367978534b672f69326a525442444d42304741315564446751574242526463796e317131636f592f6a4163725668527133696f3250540a676a415342674e5648524d4241663845434441474151482f416745414d41344741315564447745422f77514541774942426a414b42676771686b6a4f505151440a41674e4941444246416942366d63622b6c6a326c724a36326f7373383939597a5231636d42794f6e7146594a6349625144534c3462414968414a51324a78664f0a734e306d59415852322f5a72635267504b447031546a684d2f325a4b554b674a373834590a2d2d2d2d2d454e442043455254494649434154452d2d2d2d2d0a', '\x2d2d2d2d2d424547494e2043455254494649434154452d2d2d2d2d0a4d4949435854434341674f67417749424167495559546c2b4d4455686f7171766466656e4a584e4c7873686e4e414977436759494b6f5a497a6a3045417749770a514445584d425547413155454367774f5457397a59576c6a494564686447563359586b784a54416a42674e5642414d4d4845317663324670597942485958526c0a6432463549475674596d566b5a47566b49484a76623351774868634e4d6a59784d5449784d6a49774f54457a5768634e4d6a59784d5449794d6a49784d44457a0a576a41764d5330774b77594456515144444352694e44457a4f544e6a4f5330784e546b7a4c5451345a4441744f4751334e4330795a5755324e54466a4e3251350a4e324d775754415442676371686b6a4f5051494242676771686b6a4f50514d4242774e4341415331304679655435553745674e53764a4b4e6779444b574573710a46317935686b56695a643667487359726a3059546479532b336e6c2f5562474c2b2f59466f4e374c617131524332567641386564616e4c325374744d6f3448720a4d49486f4d423047413155644467515742425354545675722f58437558397270536673306f7041465a492f5a4b7a414d42674e5648524d4241663845416a41410a4d41344741315564447745422f775145417749486744415442674e56485355454444414b426767724267454642516344416a416642674e5648534d45474441570a6742526463796e317131636f592f6a4163725668527133696f325054676a427a42674e5648524545624442716f444d474353734741515142686f30664161416d0a444352694e44457a4f544e6a4f5330784e546b7a4c5451345a4441744f4751334e4330795a5755324e54466a4e3251354e324f674d77594a4b775942424147470a6a5238436f43594d4a4455305a574d354d6a51344c5459305a4759744e44566d4d693168597a67334c57526d4d6d55314d54557a4d44646d4d7a414b426767710a686b6a4f5051514441674e494144424641694541784443436c4a755754342f6f4556572f665969374a6146687134705457634351303061327975594331584d430a4943657837784e2f663331642b634434703270396e4e7459797854764474784f4b583679486c4168715536570a2d2d2d2d2d454e442043455254494649434154452d2d2d2d2d0a', '\x6d6f7361696331026b316aa5991981a0cdf02b1b5db4c8e46591c636a66e258009ea51c80db156814cc8886be8eba6bd501a7a41d3e3c307b7c2105be5fb9457afd5b80471c38b17e320f6fb20785c7824b4b23f8088416718a9f5763ca0076208185eb07f9ce9297342221d41ad8d1aefeefcfca513fd0802e50b4147971f3b8db4e7d2c7a86fae9616d430fef57d8ef8f949558d86e6e93ccbbee85e680d6de8643938bc5bd0f841c4ce913906a12faed23ba40704838ac71964f8a13dc856d524f2bd93ba885c3cf6e9ffef32584ffb13d3e70cc150cecdacd85f6cd7079a09fd22a5ac2071c311a3ac682ab91b8e4f0e5d50105c362f7763efb3ae886f7e1b962464e3527ac32a22916071c0db378387b664811227', '61397e303521a2aaaf75f7a725734bc6c8673402', '2026-11-22 22:10:13+00', 'everyone', 'cli:root', '2026-11-21 22:10:13.938863+00', NULL);

INSERT INTO mosaic.federation_server_identity VALUES ('127.0.0.1', '\x2d2d2d2d2d424547494e2043455254494649434154452d2d2d2d2d0a4d494942336a4343415953674177494241674955496e4642394c756f4b6974684e34456d45454f4459516448676c3477436759494b6f5a497a6a3045417749770a514445584d425547413155454367774f5457397a59576c6a494564686447563359586b784a54416a42674e5642414d4d4845317663324670597942485958526c0a6432463549475674596d566b5a47566b49484a76623351774868634e4d6a59784d5449784d6a49774f54457a5768634e4d6a63774d6a45354d6a49784d44457a0a576a41554d524977454159445651514444416b784d6a63754d4334774c6a45775754415442676371686b6a4f5051494242676771686b6a4f50514d4242774e430a414151425a65454c706c747a7272724950564563632f2f6a656976554f4349716a4e393155663748434b335a4c4131506a4b64494c5a4567457a2f6d62747a760a2f4f65666e55797150504e5846766d68337a6b4333712f4e6f3447484d4947454d423047413155644467515742425434456f54364d48526f744172684975596f0a546c77713775624f6c44414d42674e5648524d4241663845416a41414d41344741315564447745422f775145417749486744415442674e56485355454444414b0a4267677242674546425163444154416642674e5648534d45474441576742526463796e317131636f592f6a4163725668527133696f325054676a415042674e560a48524545434441476877522f414141424d416f4743437147534d343942414d43413067414d45554349514341794e636856343465376c736244574f62326c39370a396966766a4b38794c454f43625a334c53787841507749674d44487443617a772b74757543756b506f474f54432b72665a375362536572506273784f55454e4e0a31374d3d0a2d2d2d2d2d454e442043455254494649434154452d2d2d2d2d0a', '\x6d6f7361696331026b31ba3f963ec08ca3e8107b7fa31e258f28c3c400cd78e148cd6db68e62ce6e8f086b3d16b5de5c34c672312fe7e8dabbbf0ff9043d27f5038674177cbd2c1a4366d038e76fb165840722031e61addea194da939c28f2187a62cd6c7de107a91209141e3c708feb8f5314930d85d3c070c721008931435d3a0cd42c14d598653d50c069b07d08b6ce04ac905a74cefddec3bb928caf15a5964054a3cd7d6f92147448fb13674b1f0976c733b868c8dafe53f612ff1cae643ed315e96e5e5a891cec3a88908a7c612ce04f5bda01a490c30d2bcf61a6de61a544f29aceb510778e3e739b7d8914f37132806b5664b6d2eb66f63dc0e60f233f6651b12627e7f7e37885a4924dd24adfb2354984c7e7', '2027-02-19 22:10:13+00');

INSERT INTO mosaic.memberships VALUES ('2f59edcb-bf8f-49e7-9413-21868ae873e7', '54ec9248-64df-45f2-ac87-df2e515307f3', 'member', '2026-11-21 22:10:13.733445+00');

INSERT INTO mosaic.migrations VALUES ('core', 1, 'pre', 'identity', '1101d235121d74b451e9ee280cc1f2bb6c49d64b416275c03bcff2acbbd92225', '2026-11-21 22:10:13.515515+00');
INSERT INTO mosaic.migrations VALUES ('audit', 1, 'pre', 'log', '3394af072f3b3c08c2ad6cff9427fdb7d51bf643cc26dcf89df8e594c6064b7e', '2026-11-21 22:10:13.541857+00');
INSERT INTO mosaic.migrations VALUES ('embedded_ca', 1, 'pre', 'authority', 'f482f8e6e867a9a48fdb4994ac00e8cb84af09f79211e1a753b4ed7b33614a6b', '2026-11-21 22:10:13.549829+00');
INSERT INTO mosaic.migrations VALUES ('core', 2, 'pre', 'resources', '9eb707ea1b85db4af9a71ca47bafb764864fc125d19ee571480b2b1e00c1ca36', '2026-11-21 22:10:13.557121+00');
INSERT INTO mosaic.migrations VALUES ('federation', 1, 'pre', 'federation', '1482a75b0d200a30297f8854d949d45b8bb97531ac839f09f145504904e28230', '2026-11-21 22:10:13.558305+00');
INSERT INTO mosaic.migrations VALUES ('core', 3, 'pre', 'vectors', '38a9379ac1f1b107997ce6239242d26ab032de71fcf4b6aeb631a8ef7491ca5d', '2026-11-21 22:10:13.577273+00');
INSERT INTO mosaic.migrations VALUES ('workspace', 1, 'pre', 'tasks_and_notes', '08e7331e8147c3dae71b34bec5912d0f34ac3d0cebb371ad7a68359ef3f3f67a', '2026-11-21 22:10:13.582574+00');

INSERT INTO mosaic.notes VALUES ('note', 'text', '{}', 'cbaa0663-416b-4c38-b806-3ca324bb82e8', '54ec9248-64df-45f2-ac87-df2e515307f3', NULL, NULL, '2026-11-21 22:10:13.754055+00', '2026-11-21 22:10:13.754055+00', 1, DEFAULT);

INSERT INTO mosaic.tasks VALUES ('task 0', 'details', 'open', NULL, NULL, NULL, '{kitchen}', '070b2f25-7dcd-4e69-baa7-7d8a518eb3b4', '54ec9248-64df-45f2-ac87-df2e515307f3', NULL, NULL, '2026-11-21 22:10:13.740466+00', '2026-11-21 22:10:13.740466+00', 1, DEFAULT);
INSERT INTO mosaic.tasks VALUES ('task 1', 'details', 'open', NULL, NULL, NULL, '{kitchen}', '4eb1534b-1d44-46d4-92de-a6cf250624c0', '54ec9248-64df-45f2-ac87-df2e515307f3', NULL, NULL, '2026-11-21 22:10:13.745023+00', '2026-11-21 22:10:13.745023+00', 1, DEFAULT);
INSERT INTO mosaic.tasks VALUES ('task 2', 'details', 'open', NULL, NULL, NULL, '{kitchen}', '3ac47f1c-351f-4e3c-a825-ba173863fef9', '54ec9248-64df-45f2-ac87-df2e515307f3', NULL, NULL, '2026-11-21 22:10:13.749366+00', '2026-11-21 22:10:13.749366+00', 1, DEFAULT);
INSERT INTO mosaic.tasks VALUES ('ours', '', 'open', NULL, NULL, NULL, '{}', '6cd5fe30-3088-454c-880b-58ca224166a2', '54ec9248-64df-45f2-ac87-df2e515307f3', '2f59edcb-bf8f-49e7-9413-21868ae873e7', NULL, '2026-11-21 22:10:13.751057+00', '2026-11-21 22:10:13.751057+00', 1, DEFAULT);

INSERT INTO mosaic.teams VALUES ('2f59edcb-bf8f-49e7-9413-21868ae873e7', 'garden', 'Garden', '2026-11-21 22:10:13.724922+00');

INSERT INTO mosaic.users VALUES ('54ec9248-64df-45f2-ac87-df2e515307f3', 'ada', '', 'member', '2026-11-21 22:10:13.714306+00', NULL);
INSERT INTO mosaic.users VALUES ('a245e432-5eec-4bf3-8313-22bf8b924397', 'eve', '', 'member', '2026-11-21 22:10:13.735596+00', NULL);

ALTER TABLE ONLY mosaic.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.api_tokens
    ADD CONSTRAINT api_tokens_prefix_key UNIQUE (prefix);

ALTER TABLE ONLY mosaic.embedded_ca_authority
    ADD CONSTRAINT embedded_ca_authority_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.embedded_ca_certificates
    ADD CONSTRAINT embedded_ca_certificates_pkey PRIMARY KEY (serial);

ALTER TABLE ONLY mosaic.federation_audit_log
    ADD CONSTRAINT federation_audit_log_pkey PRIMARY KEY (stream, seq);

ALTER TABLE ONLY mosaic.federation_enrollment_tokens
    ADD CONSTRAINT federation_enrollment_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY mosaic.federation_grants
    ADD CONSTRAINT federation_grants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.federation_grants
    ADD CONSTRAINT federation_grants_serial_key UNIQUE (serial);

ALTER TABLE ONLY mosaic.federation_peers
    ADD CONSTRAINT federation_peers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.federation_server_identity
    ADD CONSTRAINT federation_server_identity_pkey PRIMARY KEY (host);

ALTER TABLE ONLY mosaic.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (team_id, user_id);

ALTER TABLE ONLY mosaic.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (component, version, phase);

ALTER TABLE ONLY mosaic.notes
    ADD CONSTRAINT notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mosaic.teams
    ADD CONSTRAINT teams_slug_key UNIQUE (slug);

ALTER TABLE ONLY mosaic.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX api_tokens_user_idx ON mosaic.api_tokens USING btree (user_id);

CREATE INDEX embedded_ca_certificates_grant ON mosaic.embedded_ca_certificates USING btree (grant_id);

CREATE INDEX federation_audit_log_at ON mosaic.federation_audit_log USING btree (at);

CREATE INDEX federation_enrollment_tokens_grant ON mosaic.federation_enrollment_tokens USING btree (grant_id);

CREATE UNIQUE INDEX federation_peers_name ON mosaic.federation_peers USING btree (name) WHERE (state <> 'removed'::mosaic.peer_state);

CREATE INDEX memberships_user_idx ON mosaic.memberships USING btree (user_id, team_id);

CREATE UNIQUE INDEX notes_external_id_key ON mosaic.notes USING btree (COALESCE(team_id, owner_id), external_id) WHERE (external_id IS NOT NULL);

CREATE INDEX notes_personal_idx ON mosaic.notes USING btree (owner_id, created_at, id) WHERE (team_id IS NULL);

CREATE INDEX notes_search_idx ON mosaic.notes USING gin (search_vector);

CREATE INDEX notes_team_idx ON mosaic.notes USING btree (team_id, created_at, id) WHERE (team_id IS NOT NULL);

CREATE UNIQUE INDEX tasks_external_id_key ON mosaic.tasks USING btree (COALESCE(team_id, owner_id), external_id) WHERE (external_id IS NOT NULL);

CREATE INDEX tasks_personal_idx ON mosaic.tasks USING btree (owner_id, created_at, id) WHERE (team_id IS NULL);

CREATE INDEX tasks_search_idx ON mosaic.tasks USING gin (search_vector);

CREATE INDEX tasks_team_idx ON mosaic.tasks USING btree (team_id, created_at, id) WHERE (team_id IS NOT NULL);

CREATE UNIQUE INDEX users_username_key ON mosaic.users USING btree (lower(username));

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON mosaic.federation_audit_log FOR EACH STATEMENT EXECUTE FUNCTION mosaic.federation_audit_log_is_append_only();

ALTER TABLE ONLY mosaic.api_tokens
    ADD CONSTRAINT api_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES mosaic.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.federation_enrollment_tokens
    ADD CONSTRAINT federation_enrollment_tokens_grant_id_fkey FOREIGN KEY (grant_id) REFERENCES mosaic.federation_grants(id) ON DELETE CASCADE;

ALTER TABLE ONLY mosaic.federation_grants
    ADD CONSTRAINT federation_grants_subject_id_fkey FOREIGN KEY (subject_id) REFERENCES mosaic.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.memberships
    ADD CONSTRAINT memberships_team_id_fkey FOREIGN KEY (team_id) REFERENCES mosaic.teams(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.memberships
    ADD CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES mosaic.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.notes
    ADD CONSTRAINT notes_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES mosaic.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.notes
    ADD CONSTRAINT notes_team_id_fkey FOREIGN KEY (team_id) REFERENCES mosaic.teams(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.tasks
    ADD CONSTRAINT tasks_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES mosaic.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY mosaic.tasks
    ADD CONSTRAINT tasks_team_id_fkey FOREIGN KEY (team_id) REFERENCES mosaic.teams(id) ON DELETE RESTRICT;

