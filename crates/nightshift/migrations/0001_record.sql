-- The record. Written so that PostgreSQL can run it too: BIGINT and TEXT only, no BOOLEAN, no
-- AUTOINCREMENT. Times that are compared are milliseconds since 1970 (BIGINT); times that are only
-- shown or replayed are RFC 3339 text, exact to the nanosecond. JSON is TEXT.

-- Who may write for a cluster: the newest epoch. It grows with every start.
CREATE TABLE leader (
    cluster TEXT NOT NULL PRIMARY KEY,
    epoch   BIGINT NOT NULL
);

-- Every input in order, each row chained to the one before it. `heads` names the last hash of every
-- chain of incident_events that this row's commit added to: the anchors.
CREATE TABLE journal (
    cluster         TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    at              TEXT NOT NULL,
    leader_epoch    BIGINT NOT NULL,
    input           TEXT NOT NULL,
    decision_digest TEXT NOT NULL,
    heads           TEXT NOT NULL,
    prev_hash       TEXT NOT NULL,
    hash            TEXT NOT NULL,
    PRIMARY KEY (cluster, seq)
);

CREATE TABLE incidents (
    id                 TEXT NOT NULL,
    cluster            TEXT NOT NULL,
    owner_uid          TEXT NOT NULL,
    class              TEXT NOT NULL,
    namespace          TEXT NOT NULL,
    owner              TEXT NOT NULL,
    phase              TEXT NOT NULL,
    opened_at          BIGINT NOT NULL,
    closed_at          BIGINT,
    alert_name         TEXT,
    pod                TEXT,
    node               TEXT,
    action_taken       TEXT,
    action_recommended TEXT,
    action_error       TEXT,
    analysis           TEXT,
    body               TEXT NOT NULL,
    PRIMARY KEY (cluster, id)
);
CREATE INDEX incidents_by_id ON incidents (id);
CREATE INDEX incidents_by_phase ON incidents (cluster, phase, opened_at);
CREATE INDEX incidents_by_opened ON incidents (opened_at);
CREATE INDEX incidents_by_alert ON incidents (cluster, alert_name, opened_at);
CREATE INDEX incidents_by_owner ON incidents (cluster, namespace, owner, opened_at);
CREATE INDEX incidents_by_pod ON incidents (cluster, namespace, pod, opened_at);
CREATE INDEX incidents_by_node ON incidents (cluster, node, opened_at);

-- What happened, chained per incident (facts about the cluster itself have an empty incident_id), so
-- that retention can drop whole incidents. `n` counts rows per cluster, `seq` is the journal row
-- that they were stored with.
CREATE TABLE incident_events (
    cluster     TEXT NOT NULL,
    n           BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    incident_id TEXT NOT NULL,
    at          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    text        TEXT NOT NULL,
    body        TEXT NOT NULL,
    prev_hash   TEXT NOT NULL,
    hash        TEXT NOT NULL,
    PRIMARY KEY (cluster, n)
);
CREATE INDEX incident_events_by_incident ON incident_events (cluster, incident_id, n);

-- Every write that was going to be sent, and what became of it (NULL: not known).
CREATE TABLE intents (
    cluster      TEXT NOT NULL,
    permit       TEXT NOT NULL,
    leader_epoch BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    incident_id  TEXT NOT NULL,
    owner        TEXT NOT NULL,
    step         TEXT NOT NULL,
    at           TEXT NOT NULL,
    at_ms        BIGINT NOT NULL,
    result       TEXT,
    PRIMARY KEY (cluster, permit)
);
CREATE INDEX intents_by_seq ON intents (cluster, seq);

-- Notices to people. A dead one stays until somebody looks.
CREATE TABLE outbox (
    key          TEXT NOT NULL PRIMARY KEY,
    cluster      TEXT NOT NULL,
    incident_id  TEXT NOT NULL,
    title        TEXT NOT NULL,
    text         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_at      BIGINT NOT NULL,
    last_error   TEXT,
    delivered_at BIGINT,
    dead_at      BIGINT
);
CREATE INDEX outbox_by_next ON outbox (next_at) WHERE delivered_at IS NULL AND dead_at IS NULL;

-- Revisions that were seen fully available for 10 minutes.
CREATE TABLE known_good (
    cluster  TEXT NOT NULL,
    revision TEXT NOT NULL,
    at       TEXT NOT NULL,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (cluster, revision)
);
