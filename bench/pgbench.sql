-- What one command writes: pgbench -n -M simple -c 32 -j 2 -T 10 -f bench/pgbench.sql DATABASE
\set n random(1, 9000000000000000000)
BEGIN;
INSERT INTO operations VALUES ('o-:n', 'bench.create', 'e-:n', 'e-:n', 'running', '', 1, 0, 'hash');
INSERT INTO entities VALUES ('e-:n', 'e-:n', '[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]');
UPDATE operations SET status = 'succeeded', finished_at = 1 WHERE id = 'o-:n';
INSERT INTO sequences VALUES ('e-:n', 1) ON CONFLICT (subject) DO UPDATE SET value = sequences.value + excluded.value;
INSERT INTO outbox (message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, sequence, data) VALUES
    ('m-:n', '', 'bench.created', 'e-:n', 1, 'o-:n', 'o-:n', '', 1, '{"assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}'),
    ('t-:n', '', 'bench.told', 'o-:n', 1, 'o-:n', 'o-:n', '', 0, '{"command":"bench.create","service":"bench","subject":"e-:n","status":"succeeded"}');
COMMIT;
