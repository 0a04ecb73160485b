BEGIN;

CREATE TABLE aicore_obs_alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT aicore_obs_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE aicore_obs_operations (
    id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
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
    latency_ms FLOAT,
    time_to_first_token_ms FLOAT,
    temperature FLOAT,
    max_tokens INTEGER,
    input_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    cache_write_5m_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    input_audio_tokens INTEGER,
    input_image_tokens INTEGER,
    input_video_tokens INTEGER,
    cache_read_audio_tokens INTEGER,
    tool_prompt_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    output_audio_tokens INTEGER,
    output_image_tokens INTEGER,
    total_tokens INTEGER,
    web_searches INTEGER,
    images INTEGER,
    audio_seconds FLOAT,
    video_seconds FLOAT,
    input_characters INTEGER,
    search_units INTEGER,
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
    seq INTEGER,
    request_payload_id TEXT,
    response_payload_id TEXT,
    tags TEXT,
    labels TEXT,
    extras TEXT,
    usage_raw TEXT,
    odd TEXT,
    error_type TEXT,
    error_message TEXT,
    error_stack TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX aicore_obs_operations_by_time ON aicore_obs_operations (timestamp);

CREATE INDEX aicore_obs_operations_by_session_id ON aicore_obs_operations (session_id) WHERE session_id IS NOT NULL;

CREATE INDEX aicore_obs_operations_by_run_id ON aicore_obs_operations (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE aicore_obs_payloads (
    payload_id TEXT NOT NULL,
    encoding TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (payload_id)
);

CREATE TABLE aicore_obs_records (
    id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    kind TEXT NOT NULL,
    project TEXT,
    session_id TEXT,
    run_id TEXT,
    trace_id TEXT,
    span_id TEXT,
    encoding TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX aicore_obs_records_by_kind ON aicore_obs_records (kind, timestamp);

CREATE TABLE aicore_obs_flags (
    operation_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    record_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    note TEXT,
    PRIMARY KEY (operation_id, reason)
)
 WITHOUT ROWID;

CREATE TABLE aicore_obs_keys (
    field TEXT NOT NULL,
    "key" TEXT NOT NULL,
    type TEXT NOT NULL,
    PRIMARY KEY (field, "key", type)
)
 WITHOUT ROWID;

CREATE TABLE aicore_obs_schema_log (
    version INTEGER NOT NULL,
    step TEXT NOT NULL,
    oldest_writer SMALLINT NOT NULL,
    applied_at INTEGER NOT NULL,
    applied_by TEXT NOT NULL,
    PRIMARY KEY (version)
);

INSERT INTO aicore_obs_alembic_version (version_num) VALUES ('0001') RETURNING version_num;

INSERT INTO aicore_obs_schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (1, 'minor', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'aicore-obs migrate --sql');

-- Running upgrade 0001 -> 0002

ALTER TABLE aicore_obs_operations ADD COLUMN priced_model TEXT;

ALTER TABLE aicore_obs_operations ADD COLUMN cost_usd INTEGER;

ALTER TABLE aicore_obs_operations ADD COLUMN input_cost_usd INTEGER;

ALTER TABLE aicore_obs_operations ADD COLUMN output_cost_usd INTEGER;

ALTER TABLE aicore_obs_operations ADD COLUMN cost_source TEXT;

ALTER TABLE aicore_obs_operations ADD COLUMN cost_reason TEXT;

ALTER TABLE aicore_obs_operations ADD COLUMN price_id TEXT;

ALTER TABLE aicore_obs_operations ADD COLUMN price_book TEXT;

ALTER TABLE aicore_obs_operations ADD COLUMN cost_lines TEXT;

ALTER TABLE aicore_obs_operations ADD COLUMN billing TEXT;

CREATE TABLE aicore_obs_cost_revisions (
    operation_id TEXT NOT NULL,
    record_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    author TEXT,
    priced_model TEXT,
    cost_usd INTEGER,
    input_cost_usd INTEGER,
    output_cost_usd INTEGER,
    cost_source TEXT,
    cost_reason TEXT,
    price_id TEXT,
    price_book TEXT,
    cost_lines TEXT,
    PRIMARY KEY (operation_id, record_id)
)
 WITHOUT ROWID;

UPDATE aicore_obs_alembic_version SET version_num='0002' WHERE aicore_obs_alembic_version.version_num = '0001';

INSERT INTO aicore_obs_schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (2, 'minor', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'aicore-obs migrate --sql');

COMMIT;
