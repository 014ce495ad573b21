-- Rehearsals that were failures for the circuit breaker, the newest ones. `after_permit` is the newest
-- intent before: the place in the row of failures.
CREATE TABLE refused_rehearsals (
    cluster      TEXT NOT NULL,
    seq          BIGINT NOT NULL,
    at           TEXT NOT NULL,
    after_permit TEXT,
    PRIMARY KEY (cluster, seq)
);
