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

COMMIT;
