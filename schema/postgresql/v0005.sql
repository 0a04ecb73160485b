BEGIN;

CREATE SCHEMA IF NOT EXISTS aicore_obs;

CREATE TABLE aicore_obs.alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE aicore_obs.operations (
    id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    project TEXT,
    operation_type TEXT,
    provider TEXT,
    model TEXT,
    response_model TEXT,
    api TEXT,
    server_address TEXT,
    status TEXT,
    finish_reason TEXT,
    response_id TEXT,
    stream_state TEXT,
    latency_ms DOUBLE PRECISION,
    time_to_first_token_ms DOUBLE PRECISION,
    temperature DOUBLE PRECISION,
    max_tokens BIGINT,
    input_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    cache_write_5m_tokens BIGINT,
    cache_write_1h_tokens BIGINT,
    input_audio_tokens BIGINT,
    input_image_tokens BIGINT,
    input_video_tokens BIGINT,
    cache_read_audio_tokens BIGINT,
    tool_prompt_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    output_audio_tokens BIGINT,
    output_image_tokens BIGINT,
    total_tokens BIGINT,
    web_searches BIGINT,
    images BIGINT,
    audio_seconds DOUBLE PRECISION,
    video_seconds DOUBLE PRECISION,
    input_characters BIGINT,
    search_units BIGINT,
    usage_source TEXT,
    session_id TEXT,
    run_id TEXT,
    experiment_id TEXT,
    trace_id TEXT,
    span_id TEXT,
    parent_id TEXT,
    workspace TEXT,
    agent_id TEXT,
    action_id TEXT,
    user_id TEXT,
    seq BIGINT,
    request_payload_id UUID,
    response_payload_id UUID,
    tags JSONB,
    labels JSONB,
    extras JSONB,
    usage_raw JSONB,
    odd JSONB,
    error_type TEXT,
    error_message TEXT,
    error_stack TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX operations_by_time ON aicore_obs.operations (timestamp);

CREATE INDEX operations_by_session_id ON aicore_obs.operations (session_id) WHERE session_id IS NOT NULL;

CREATE INDEX operations_by_run_id ON aicore_obs.operations (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE aicore_obs.payloads (
    payload_id UUID NOT NULL,
    encoding TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (payload_id)
);

DO $guard$ BEGIN
  EXECUTE $ddl$ALTER TABLE aicore_obs.payloads ALTER COLUMN body SET COMPRESSION lz4$ddl$;
EXCEPTION WHEN syntax_error OR feature_not_supported OR invalid_parameter_value THEN NULL;
END $guard$;

CREATE TABLE aicore_obs.records (
    id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT NOT NULL,
    project TEXT,
    session_id TEXT,
    run_id TEXT,
    trace_id TEXT,
    span_id TEXT,
    encoding TEXT NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX records_by_kind ON aicore_obs.records (kind, timestamp);

CREATE TABLE aicore_obs.flags (
    operation_id UUID NOT NULL,
    reason TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    record_id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    note TEXT,
    PRIMARY KEY (operation_id, reason)
);

CREATE TABLE aicore_obs.keys (
    field TEXT NOT NULL,
    key TEXT NOT NULL,
    type TEXT NOT NULL,
    PRIMARY KEY (field, key, type)
);

CREATE TABLE aicore_obs.schema_log (
    version INTEGER NOT NULL,
    step TEXT NOT NULL,
    oldest_writer SMALLINT NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL,
    applied_by TEXT NOT NULL,
    PRIMARY KEY (version)
);

INSERT INTO aicore_obs.alembic_version (version_num) VALUES ('0001') RETURNING aicore_obs.alembic_version.version_num;

INSERT INTO aicore_obs.schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (1, 'minor', 1, now(), 'aicore-obs migrate --sql');

-- Running upgrade 0001 -> 0002

ALTER TABLE aicore_obs.operations ADD COLUMN priced_model TEXT;

ALTER TABLE aicore_obs.operations ADD COLUMN cost_usd NUMERIC(38, 12);

ALTER TABLE aicore_obs.operations ADD COLUMN input_cost_usd NUMERIC(38, 12);

ALTER TABLE aicore_obs.operations ADD COLUMN output_cost_usd NUMERIC(38, 12);

ALTER TABLE aicore_obs.operations ADD COLUMN cost_source TEXT;

ALTER TABLE aicore_obs.operations ADD COLUMN cost_reason TEXT;

ALTER TABLE aicore_obs.operations ADD COLUMN price_id TEXT;

ALTER TABLE aicore_obs.operations ADD COLUMN price_book TEXT;

ALTER TABLE aicore_obs.operations ADD COLUMN cost_lines JSONB;

ALTER TABLE aicore_obs.operations ADD COLUMN billing JSONB;

CREATE TABLE aicore_obs.cost_revisions (
    operation_id UUID NOT NULL,
    record_id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    author TEXT,
    priced_model TEXT,
    cost_usd NUMERIC(38, 12),
    input_cost_usd NUMERIC(38, 12),
    output_cost_usd NUMERIC(38, 12),
    cost_source TEXT,
    cost_reason TEXT,
    price_id TEXT,
    price_book TEXT,
    cost_lines JSONB,
    PRIMARY KEY (operation_id, record_id)
);

DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a
     WHERE c.oid = $name$aicore_obs.operations$name$::regclass AND a.grantee <> c.relowner
       AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON aicore_obs.cost_revisions TO $name$ || one.role;
  END LOOP;
END $grants$;

UPDATE aicore_obs.alembic_version SET version_num='0002' WHERE aicore_obs.alembic_version.version_num = '0001';

INSERT INTO aicore_obs.schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (2, 'minor', 1, now(), 'aicore-obs migrate --sql');

-- Running upgrade 0002 -> 0003

CREATE VIEW aicore_obs.v_operations AS
SELECT o.operation_id AS operation_id,
       o.timestamp AS timestamp,
       o.project AS project,
       o.operation_type AS operation_type,
       o.provider AS provider,
       o.model AS model,
       o.response_model AS response_model,
       o.api AS api,
       o.server_address AS server_address,
       o.status AS status,
       o.finish_reason AS finish_reason,
       o.response_id AS response_id,
       o.stream_state AS stream_state,
       o.latency_ms AS latency_ms,
       o.time_to_first_token_ms AS time_to_first_token_ms,
       o.temperature AS temperature,
       o.max_tokens AS max_tokens,
       o.input_tokens AS input_tokens,
       o.cache_read_tokens AS cache_read_tokens,
       o.cache_write_tokens AS cache_write_tokens,
       o.cache_write_5m_tokens AS cache_write_5m_tokens,
       o.cache_write_1h_tokens AS cache_write_1h_tokens,
       o.input_audio_tokens AS input_audio_tokens,
       o.input_image_tokens AS input_image_tokens,
       o.input_video_tokens AS input_video_tokens,
       o.cache_read_audio_tokens AS cache_read_audio_tokens,
       o.tool_prompt_tokens AS tool_prompt_tokens,
       o.output_tokens AS output_tokens,
       o.reasoning_tokens AS reasoning_tokens,
       o.output_audio_tokens AS output_audio_tokens,
       o.output_image_tokens AS output_image_tokens,
       o.total_tokens AS total_tokens,
       o.web_searches AS web_searches,
       o.images AS images,
       o.audio_seconds AS audio_seconds,
       o.video_seconds AS video_seconds,
       o.input_characters AS input_characters,
       o.search_units AS search_units,
       o.usage_source AS usage_source,
       o.priced_model AS priced_model,
       o.cost_usd AS cost_usd,
       o.input_cost_usd AS input_cost_usd,
       o.output_cost_usd AS output_cost_usd,
       o.cost_source AS cost_source,
       o.cost_reason AS cost_reason,
       o.price_id AS price_id,
       o.price_book AS price_book,
       o.session_id AS session_id,
       o.run_id AS run_id,
       o.experiment_id AS experiment_id,
       o.trace_id AS trace_id,
       o.span_id AS span_id,
       o.parent_id AS parent_id,
       o.seq AS seq,
       o.workspace AS workspace,
       o.agent_id AS agent_id,
       o.action_id AS action_id,
       o.user_id AS user_id,
       o.tags::text AS tags,
       o.labels::text AS labels,
       o.extras::text AS extras,
       o.error_type AS error_type,
       o.error_message AS error_message
  FROM (
SELECT o.id AS operation_id,
       o.timestamp AS timestamp,
       o.project AS project,
       o.operation_type AS operation_type,
       o.provider AS provider,
       o.model AS model,
       o.response_model AS response_model,
       o.api AS api,
       o.server_address AS server_address,
       o.status AS status,
       o.finish_reason AS finish_reason,
       o.response_id AS response_id,
       o.stream_state AS stream_state,
       o.latency_ms AS latency_ms,
       o.time_to_first_token_ms AS time_to_first_token_ms,
       o.temperature AS temperature,
       o.max_tokens AS max_tokens,
       o.input_tokens AS input_tokens,
       o.cache_read_tokens AS cache_read_tokens,
       o.cache_write_tokens AS cache_write_tokens,
       o.cache_write_5m_tokens AS cache_write_5m_tokens,
       o.cache_write_1h_tokens AS cache_write_1h_tokens,
       o.input_audio_tokens AS input_audio_tokens,
       o.input_image_tokens AS input_image_tokens,
       o.input_video_tokens AS input_video_tokens,
       o.cache_read_audio_tokens AS cache_read_audio_tokens,
       o.tool_prompt_tokens AS tool_prompt_tokens,
       o.output_tokens AS output_tokens,
       o.reasoning_tokens AS reasoning_tokens,
       o.output_audio_tokens AS output_audio_tokens,
       o.output_image_tokens AS output_image_tokens,
       o.total_tokens AS total_tokens,
       o.web_searches AS web_searches,
       o.images AS images,
       o.audio_seconds AS audio_seconds,
       o.video_seconds AS video_seconds,
       o.input_characters AS input_characters,
       o.search_units AS search_units,
       o.usage_source AS usage_source,
       o.session_id AS session_id,
       o.run_id AS run_id,
       o.experiment_id AS experiment_id,
       o.trace_id AS trace_id,
       o.span_id AS span_id,
       o.parent_id AS parent_id,
       o.seq AS seq,
       o.workspace AS workspace,
       o.agent_id AS agent_id,
       o.action_id AS action_id,
       o.user_id AS user_id,
       o.tags AS tags,
       o.labels AS labels,
       o.extras AS extras,
       o.error_type AS error_type,
       o.error_message AS error_message,
       CASE WHEN r.record_id IS NULL THEN o.priced_model ELSE r.priced_model END AS priced_model,
       CASE WHEN r.record_id IS NULL THEN o.cost_usd ELSE r.cost_usd END AS cost_usd,
       CASE WHEN r.record_id IS NULL THEN o.input_cost_usd ELSE r.input_cost_usd END AS input_cost_usd,
       CASE WHEN r.record_id IS NULL THEN o.output_cost_usd ELSE r.output_cost_usd END AS output_cost_usd,
       CASE WHEN r.record_id IS NULL THEN o.cost_source ELSE r.cost_source END AS cost_source,
       CASE WHEN r.record_id IS NULL THEN o.cost_reason ELSE r.cost_reason END AS cost_reason,
       CASE WHEN r.record_id IS NULL THEN o.price_id ELSE r.price_id END AS price_id,
       CASE WHEN r.record_id IS NULL THEN o.price_book ELSE r.price_book END AS price_book
  FROM aicore_obs.operations AS o
  LEFT JOIN aicore_obs.cost_revisions AS r ON r.operation_id = o.id
   AND NOT EXISTS (SELECT 1 FROM aicore_obs.cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id)
) AS o;

CREATE VIEW aicore_obs.v_costs AS
SELECT o.id AS operation_id,
       o.timestamp AS timestamp,
       0 AS revision,
       o.timestamp AS recorded_at,
       CAST(NULL AS TEXT) AS author,
       CASE WHEN (SELECT count(*) FROM aicore_obs.cost_revisions AS n WHERE n.operation_id = o.id) = 0 THEN 1 ELSE 0 END AS is_newest,
       o.priced_model AS priced_model,
       o.cost_usd AS cost_usd,
       o.input_cost_usd AS input_cost_usd,
       o.output_cost_usd AS output_cost_usd,
       o.cost_source AS cost_source,
       o.cost_reason AS cost_reason,
       o.price_id AS price_id,
       o.price_book AS price_book
  FROM aicore_obs.operations AS o
UNION ALL
SELECT o.id AS operation_id,
       o.timestamp AS timestamp,
       (SELECT count(*) FROM aicore_obs.cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id <= r.record_id) AS revision,
       r.timestamp AS recorded_at,
       r.author AS author,
       CASE WHEN (SELECT count(*) FROM aicore_obs.cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id) = 0 THEN 1 ELSE 0 END AS is_newest,
       r.priced_model AS priced_model,
       r.cost_usd AS cost_usd,
       r.input_cost_usd AS input_cost_usd,
       r.output_cost_usd AS output_cost_usd,
       r.cost_source AS cost_source,
       r.cost_reason AS cost_reason,
       r.price_id AS price_id,
       r.price_book AS price_book
  FROM aicore_obs.operations AS o
  JOIN aicore_obs.cost_revisions AS r ON r.operation_id = o.id;

CREATE VIEW aicore_obs.v_daily_cost AS
SELECT g.day AS day,
       g.project AS project,
       g.provider AS provider,
       g.model AS model,
       g.operations AS operations,
       g.errors AS errors,
       g.priced AS priced,
       g.partly_priced AS partly_priced,
       g.unpriced AS unpriced,
       g.unpriced_tokens AS unpriced_tokens,
       g.input_tokens AS input_tokens,
       g.output_tokens AS output_tokens,
       g.total_tokens AS total_tokens,
       g.cost_usd AS cost_usd
  FROM (
SELECT o.day AS day,
       o.project AS project,
       o.provider AS provider,
       o.model AS model,
       count(*) AS operations,
       count(CASE WHEN o.status = 'error' THEN 1 END) AS errors,
       count(o.cost_usd) AS priced,
       count(CASE WHEN o.cost_usd IS NOT NULL AND o.cost_reason IS NOT NULL THEN 1 END) AS partly_priced,
       count(CASE WHEN o.cost_usd IS NULL THEN 1 END) AS unpriced,
       sum(CASE WHEN o.cost_usd IS NULL THEN o.total_tokens END) AS unpriced_tokens,
       sum(o.input_tokens) AS input_tokens,
       sum(o.output_tokens) AS output_tokens,
       sum(o.total_tokens) AS total_tokens,
       sum(o.cost_usd) AS cost_usd
  FROM (
SELECT (o.timestamp AT TIME ZONE 'UTC')::date AS day,
       o.project AS project,
       o.provider AS provider,
       o.model AS model,
       o.status AS status,
       o.input_tokens AS input_tokens,
       o.output_tokens AS output_tokens,
       o.total_tokens AS total_tokens,
       CASE WHEN r.record_id IS NULL THEN o.cost_usd ELSE r.cost_usd END AS cost_usd,
       CASE WHEN r.record_id IS NULL THEN o.cost_reason ELSE r.cost_reason END AS cost_reason
  FROM aicore_obs.operations AS o
  LEFT JOIN aicore_obs.cost_revisions AS r ON r.operation_id = o.id
   AND NOT EXISTS (SELECT 1 FROM aicore_obs.cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id)
) AS o
 GROUP BY o.day, o.project, o.provider, o.model
) AS g;

CREATE VIEW aicore_obs.v_errors AS
SELECT o.id AS operation_id,
       o.timestamp AS timestamp,
       o.project AS project,
       o.operation_type AS operation_type,
       o.provider AS provider,
       o.model AS model,
       o.api AS api,
       o.server_address AS server_address,
       o.error_type AS error_type,
       o.error_message AS error_message,
       o.error_stack AS error_stack,
       o.latency_ms AS latency_ms,
       o.session_id AS session_id,
       o.run_id AS run_id,
       o.trace_id AS trace_id,
       o.span_id AS span_id,
       o.workspace AS workspace,
       o.agent_id AS agent_id,
       o.action_id AS action_id,
       o.user_id AS user_id
  FROM aicore_obs.operations AS o
 WHERE o.status = 'error';

CREATE TABLE aicore_obs.deletions (
    id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    author TEXT,
    filter JSONB NOT NULL,
    content_only BOOLEAN NOT NULL,
    by_id BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE aicore_obs.deleted_operations (
    operation_id UUID NOT NULL,
    deletion_id UUID NOT NULL,
    PRIMARY KEY (operation_id, deletion_id)
);

DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind, t.name AS name,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a, unnest(ARRAY['v_operations', 'v_costs', 'v_daily_cost', 'v_errors', 'deletions', 'deleted_operations']) AS t(name)
     WHERE c.oid = $name$aicore_obs.operations$name$::regclass AND a.grantee <> c.relowner
       AND (a.privilege_type = 'SELECT'
            OR a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE') AND t.name NOT LIKE 'v\_%%')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON aicore_obs.$name$ || one.name || ' TO ' || one.role;
  END LOOP;
END $grants$;

UPDATE aicore_obs.alembic_version SET version_num='0003' WHERE aicore_obs.alembic_version.version_num = '0002';

INSERT INTO aicore_obs.schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (3, 'minor', 1, now(), 'aicore-obs migrate --sql');

-- Running upgrade 0003 -> 0004

CREATE TABLE aicore_obs.scores (
    operation_id UUID NOT NULL,
    name TEXT NOT NULL,
    record_id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    value TEXT,
    number DOUBLE PRECISION,
    comment TEXT,
    PRIMARY KEY (operation_id, name)
);

DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a
     WHERE c.oid = $name$aicore_obs.operations$name$::regclass AND a.grantee <> c.relowner
       AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON aicore_obs.scores TO $name$ || one.role;
  END LOOP;
END $grants$;

UPDATE aicore_obs.alembic_version SET version_num='0004' WHERE aicore_obs.alembic_version.version_num = '0003';

INSERT INTO aicore_obs.schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (4, 'minor', 1, now(), 'aicore-obs migrate --sql');

-- Running upgrade 0004 -> 0005

CREATE TABLE aicore_obs.archives (
    id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    location TEXT NOT NULL,
    before TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a
     WHERE c.oid = $name$aicore_obs.deletions$name$::regclass AND a.grantee <> c.relowner
       AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON aicore_obs.archives TO $name$ || one.role;
  END LOOP;
END $grants$;

UPDATE aicore_obs.alembic_version SET version_num='0005' WHERE aicore_obs.alembic_version.version_num = '0004';

INSERT INTO aicore_obs.schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (5, 'minor', 1, now(), 'aicore-obs migrate --sql');

COMMIT;
