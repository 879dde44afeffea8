-- Every row of the outbox dies young: it is cleaned for a number of dead rows, however large the table once was, and at full speed. Cutting
-- off its empty end would lock everybody out for that long, and it grows again.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
-- A counter is updated for each event: with room in its page that touches no index.
ALTER TABLE sequences SET (fillfactor = 50);
