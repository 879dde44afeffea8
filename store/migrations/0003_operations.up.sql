ALTER TABLE operations ADD COLUMN progress TEXT NOT NULL DEFAULT ''; -- JSON; empty until a deferred command says how far it is
ALTER TABLE operations ADD COLUMN cancel_requested_at BIGINT NOT NULL DEFAULT 0;
