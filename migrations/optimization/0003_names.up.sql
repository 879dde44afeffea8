-- The case-folded name, for lookups: see text.Fold. SQL can lower the case of earlier names only.
ALTER TABLE optimizations ADD COLUMN folded TEXT NOT NULL DEFAULT '';
UPDATE optimizations SET folded = lower(name);
CREATE INDEX optimizations_by_name ON optimizations (folded) WHERE folded <> '';
-- For lists of the optimizations of a portfolio, and for quotas.
CREATE INDEX optimizations_of_portfolio ON optimizations (portfolio_id, id);
