package store

import (
	"context"
	"strings"
)

// Inbox has, in one unit of work, what the bus records of the messages of the service: which were handled, which are
// parked, and how far the log is handled.
type Inbox struct {
	tx        *Tx
	sequences map[sequenceKey]int64 // that this unit has handled
}

// InboxOf returns the inbox of a unit of work.
func InboxOf(tx *Tx) *Inbox { return &tx.inbox }

// Claim names one handling of one message.
type Claim struct {
	MessageID string
	Handler   string
}

// claimRows is how many inbox rows one statement writes.
const claimRows = 500

// Claim marks messages as handled by a handler, in this unit, and returns which of them were new. A message that is
// not new was handled before and must not be handled again. Of two equal claims, the second is not new.
func (in *Inbox) Claim(ctx context.Context, claims []Claim) (isNew []bool, err error) {
	isNew = make([]bool, len(claims))
	for from := 0; from < len(claims); from += claimRows {
		to := min(from+claimRows, len(claims))
		if err := in.claim(ctx, claims[from:to], isNew[from:to]); err != nil {
			return nil, err
		}
	}
	return isNew, nil
}

func (in *Inbox) claim(ctx context.Context, claims []Claim, isNew []bool) error {
	var b strings.Builder
	args := make([]any, 0, 3*len(claims))
	index := make(map[Claim]int, len(claims))
	b.WriteString("INSERT INTO inbox (message_id, handler, handled_at) VALUES ")
	for i, c := range claims {
		c.MessageID = plain(c.MessageID)
		if _, double := index[c]; double {
			continue
		}
		if len(index) > 0 {
			b.WriteString(", ")
		}
		index[c] = i
		b.WriteString("(?, ?, ?)")
		args = append(args, c.MessageID, c.Handler, in.tx.now.UnixMicro())
	}
	b.WriteString(" ON CONFLICT DO NOTHING")
	// All are new, nearly always: the number of rows says so without reading them.
	if len(claims) == 1 {
		result, err := in.tx.ExecContext(ctx, b.String(), args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		isNew[0] = n == 1
		return err
	}
	b.WriteString(" RETURNING message_id, handler")
	rows, err := in.tx.QueryContext(ctx, b.String(), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c Claim
		if err := rows.Scan(&c.MessageID, &c.Handler); err != nil {
			return err
		}
		isNew[index[c]] = true
	}
	return rows.Err()
}

// plain is text that every database takes.
func plain(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
