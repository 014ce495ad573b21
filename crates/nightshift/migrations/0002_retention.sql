-- What an incident is found by when somebody asks whether it happened before: the keys are core's.
CREATE TABLE incident_keys (
    cluster     TEXT NOT NULL,
    key         TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    PRIMARY KEY (cluster, key, incident_id)
);
CREATE INDEX incident_keys_by_incident ON incident_keys (cluster, incident_id);
INSERT INTO incident_keys SELECT cluster, 'alert ' || alert_name, id FROM incidents
    WHERE alert_name IS NOT NULL;
INSERT INTO incident_keys SELECT cluster, 'node ' || node, id FROM incidents
    WHERE node IS NOT NULL;
INSERT INTO incident_keys SELECT cluster, 'object ' || owner, id FROM incidents
    WHERE namespace <> '';
DROP INDEX incidents_by_owner;
DROP INDEX incidents_by_pod;
DROP INDEX incidents_by_node;
ALTER TABLE incidents DROP COLUMN pod;
ALTER TABLE incidents DROP COLUMN node;

-- What is old enough to be dropped.
CREATE INDEX incidents_by_closed ON incidents (cluster, closed_at);
CREATE INDEX journal_starts ON journal (cluster, seq) WHERE substr(input, 1, 8) = '{"Start"';

-- What a notice is about.
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'waiting';
