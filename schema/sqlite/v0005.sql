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

-- Running upgrade 0002 -> 0003

CREATE VIEW aicore_obs_v_operations AS
SELECT o.operation_id AS operation_id,
       strftime('%Y-%m-%dT%H:%M:%S', o.timestamp / 1000000 - (o.timestamp % 1000000 < 0), 'unixepoch') || printf('.%06dZ', (o.timestamp % 1000000 + 1000000) % 1000000) AS timestamp,
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
       CASE WHEN o.cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN o.cost_usd < 0 THEN '-' ELSE '' END, abs(o.cost_usd / 1000000000000), abs(o.cost_usd % 1000000000000)) END AS cost_usd,
       CASE WHEN o.input_cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN o.input_cost_usd < 0 THEN '-' ELSE '' END, abs(o.input_cost_usd / 1000000000000), abs(o.input_cost_usd % 1000000000000)) END AS input_cost_usd,
       CASE WHEN o.output_cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN o.output_cost_usd < 0 THEN '-' ELSE '' END, abs(o.output_cost_usd / 1000000000000), abs(o.output_cost_usd % 1000000000000)) END AS output_cost_usd,
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
       o.tags AS tags,
       o.labels AS labels,
       o.extras AS extras,
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
  FROM aicore_obs_operations AS o
  LEFT JOIN aicore_obs_cost_revisions AS r ON r.operation_id = o.id
   AND NOT EXISTS (SELECT 1 FROM aicore_obs_cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id)
) AS o;

CREATE VIEW aicore_obs_v_costs AS
SELECT o.id AS operation_id,
       strftime('%Y-%m-%dT%H:%M:%S', o.timestamp / 1000000 - (o.timestamp % 1000000 < 0), 'unixepoch') || printf('.%06dZ', (o.timestamp % 1000000 + 1000000) % 1000000) AS timestamp,
       0 AS revision,
       strftime('%Y-%m-%dT%H:%M:%S', o.timestamp / 1000000 - (o.timestamp % 1000000 < 0), 'unixepoch') || printf('.%06dZ', (o.timestamp % 1000000 + 1000000) % 1000000) AS recorded_at,
       CAST(NULL AS TEXT) AS author,
       CASE WHEN (SELECT count(*) FROM aicore_obs_cost_revisions AS n WHERE n.operation_id = o.id) = 0 THEN 1 ELSE 0 END AS is_newest,
       o.priced_model AS priced_model,
       CASE WHEN o.cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN o.cost_usd < 0 THEN '-' ELSE '' END, abs(o.cost_usd / 1000000000000), abs(o.cost_usd % 1000000000000)) END AS cost_usd,
       CASE WHEN o.input_cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN o.input_cost_usd < 0 THEN '-' ELSE '' END, abs(o.input_cost_usd / 1000000000000), abs(o.input_cost_usd % 1000000000000)) END AS input_cost_usd,
       CASE WHEN o.output_cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN o.output_cost_usd < 0 THEN '-' ELSE '' END, abs(o.output_cost_usd / 1000000000000), abs(o.output_cost_usd % 1000000000000)) END AS output_cost_usd,
       o.cost_source AS cost_source,
       o.cost_reason AS cost_reason,
       o.price_id AS price_id,
       o.price_book AS price_book
  FROM aicore_obs_operations AS o
UNION ALL
SELECT o.id AS operation_id,
       strftime('%Y-%m-%dT%H:%M:%S', o.timestamp / 1000000 - (o.timestamp % 1000000 < 0), 'unixepoch') || printf('.%06dZ', (o.timestamp % 1000000 + 1000000) % 1000000) AS timestamp,
       (SELECT count(*) FROM aicore_obs_cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id <= r.record_id) AS revision,
       strftime('%Y-%m-%dT%H:%M:%S', r.timestamp / 1000000 - (r.timestamp % 1000000 < 0), 'unixepoch') || printf('.%06dZ', (r.timestamp % 1000000 + 1000000) % 1000000) AS recorded_at,
       r.author AS author,
       CASE WHEN (SELECT count(*) FROM aicore_obs_cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id) = 0 THEN 1 ELSE 0 END AS is_newest,
       r.priced_model AS priced_model,
       CASE WHEN r.cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN r.cost_usd < 0 THEN '-' ELSE '' END, abs(r.cost_usd / 1000000000000), abs(r.cost_usd % 1000000000000)) END AS cost_usd,
       CASE WHEN r.input_cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN r.input_cost_usd < 0 THEN '-' ELSE '' END, abs(r.input_cost_usd / 1000000000000), abs(r.input_cost_usd % 1000000000000)) END AS input_cost_usd,
       CASE WHEN r.output_cost_usd IS NOT NULL THEN printf('%s%d.%012d', CASE WHEN r.output_cost_usd < 0 THEN '-' ELSE '' END, abs(r.output_cost_usd / 1000000000000), abs(r.output_cost_usd % 1000000000000)) END AS output_cost_usd,
       r.cost_source AS cost_source,
       r.cost_reason AS cost_reason,
       r.price_id AS price_id,
       r.price_book AS price_book
  FROM aicore_obs_operations AS o
  JOIN aicore_obs_cost_revisions AS r ON r.operation_id = o.id;

CREATE VIEW aicore_obs_v_daily_cost AS
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
       CASE WHEN g.dollars IS NULL THEN NULL
            WHEN g.dollars + g.rest / 1000000000000 >= 0 OR g.rest % 1000000000000 = 0 THEN printf('%d.%012d', g.dollars + g.rest / 1000000000000, g.rest % 1000000000000)
            ELSE printf('-%d.%012d', -1 - (g.dollars + g.rest / 1000000000000), 1000000000000 - g.rest % 1000000000000) END AS cost_usd
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
       sum(o.cost_usd / 1000000000000 - (o.cost_usd % 1000000000000 < 0)) AS dollars,
       sum((o.cost_usd % 1000000000000 + 1000000000000) % 1000000000000) AS rest
  FROM (
SELECT strftime('%Y-%m-%d', o.timestamp / 1000000 - (o.timestamp % 1000000 < 0), 'unixepoch') AS day,
       o.project AS project,
       o.provider AS provider,
       o.model AS model,
       o.status AS status,
       o.input_tokens AS input_tokens,
       o.output_tokens AS output_tokens,
       o.total_tokens AS total_tokens,
       CASE WHEN r.record_id IS NULL THEN o.cost_usd ELSE r.cost_usd END AS cost_usd,
       CASE WHEN r.record_id IS NULL THEN o.cost_reason ELSE r.cost_reason END AS cost_reason
  FROM aicore_obs_operations AS o
  LEFT JOIN aicore_obs_cost_revisions AS r ON r.operation_id = o.id
   AND NOT EXISTS (SELECT 1 FROM aicore_obs_cost_revisions AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id)
) AS o
 GROUP BY o.day, o.project, o.provider, o.model
) AS g;

CREATE VIEW aicore_obs_v_errors AS
SELECT o.id AS operation_id,
       strftime('%Y-%m-%dT%H:%M:%S', o.timestamp / 1000000 - (o.timestamp % 1000000 < 0), 'unixepoch') || printf('.%06dZ', (o.timestamp % 1000000 + 1000000) % 1000000) AS timestamp,
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
  FROM aicore_obs_operations AS o
 WHERE o.status = 'error';

CREATE TABLE aicore_obs_deletions (
    id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    author TEXT,
    filter TEXT NOT NULL,
    content_only BOOLEAN NOT NULL,
    by_id BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE aicore_obs_deleted_operations (
    operation_id TEXT NOT NULL,
    deletion_id TEXT NOT NULL,
    PRIMARY KEY (operation_id, deletion_id)
)
 WITHOUT ROWID;

UPDATE aicore_obs_alembic_version SET version_num='0003' WHERE aicore_obs_alembic_version.version_num = '0002';

INSERT INTO aicore_obs_schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (3, 'minor', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'aicore-obs migrate --sql');

-- Running upgrade 0003 -> 0004

CREATE TABLE aicore_obs_scores (
    operation_id TEXT NOT NULL,
    name TEXT NOT NULL,
    record_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    value TEXT,
    number FLOAT,
    comment TEXT,
    PRIMARY KEY (operation_id, name)
)
 WITHOUT ROWID;

UPDATE aicore_obs_alembic_version SET version_num='0004' WHERE aicore_obs_alembic_version.version_num = '0003';

INSERT INTO aicore_obs_schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (4, 'minor', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'aicore-obs migrate --sql');

-- Running upgrade 0004 -> 0005

CREATE TABLE aicore_obs_archives (
    id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    location TEXT NOT NULL,
    "before" INTEGER NOT NULL,
    PRIMARY KEY (id)
);

UPDATE aicore_obs_alembic_version SET version_num='0005' WHERE aicore_obs_alembic_version.version_num = '0004';

INSERT INTO aicore_obs_schema_log (version, step, oldest_writer, applied_at, applied_by) VALUES (5, 'minor', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'aicore-obs migrate --sql');

COMMIT;
