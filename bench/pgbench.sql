-- What one command writes: pgbench -n -M simple -c 32 -j 2 -T 10 -f bench/pgbench.sql DATABASE
SELECT gen_random_uuid() AS id \gset
BEGIN;
INSERT INTO operations VALUES (:'id', 'bench.create', :'id', :'id', 'running', '', 1, 0, 'hash');
INSERT INTO entities VALUES (:'id', :'id', '[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]');
UPDATE operations SET status = 'succeeded', finished_at = 1 WHERE id = :'id';
INSERT INTO sequences VALUES (:'id', 1) ON CONFLICT (subject) DO UPDATE SET value = sequences.value + excluded.value;
INSERT INTO outbox (message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, sequence, data)
    VALUES (:'id', '', 'bench.created', :'id', 1, :'id', :'id', '', 1, '{"assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}');
COMMIT;
