-- The name as it is looked up: see text.Fold. What was kept before is lowered as far as SQL can.
ALTER TABLE optimizations ADD COLUMN folded TEXT NOT NULL DEFAULT '';
UPDATE optimizations SET folded = lower(name);
CREATE INDEX optimizations_by_name ON optimizations (folded) WHERE folded <> '';
-- Lists read the optimizations of a portfolio, and quotas count them.
CREATE INDEX optimizations_of_portfolio ON optimizations (portfolio_id, id);
