-- No two optimizations have the same name. Of those that had, the newest keeps it; the others are found by their ids.
UPDATE optimizations SET folded = '' WHERE folded <> '' AND EXISTS (
	SELECT 1 FROM optimizations AS newer WHERE newer.folded = optimizations.folded AND newer.id > optimizations.id
);
DROP INDEX optimizations_by_name;
CREATE UNIQUE INDEX optimizations_by_name ON optimizations (folded) WHERE folded <> '';
