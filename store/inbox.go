package store

import (
	"context"
	"strings"
)

// Claim names one handling of one message.
type Claim struct {
	MessageID string
	Handler   string
}

// claimRows is how many inbox rows one statement writes.
const claimRows = 500

// Claim marks messages as handled by a handler, in this unit, and says which of them were new. A message that
// is not new was handled before and must not be handled again. Of two equal claims, the second is not new.
func (t *Tx) Claim(ctx context.Context, claims []Claim) (fresh []bool, err error) {
	fresh = make([]bool, len(claims))
	for from := 0; from < len(claims); from += claimRows {
		to := min(from+claimRows, len(claims))
		if err := t.claim(ctx, claims[from:to], fresh[from:to]); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func (t *Tx) claim(ctx context.Context, claims []Claim, fresh []bool) error {
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
		args = append(args, c.MessageID, c.Handler, t.now.UnixMicro())
	}
	b.WriteString(" ON CONFLICT DO NOTHING")
	// All are new, nearly always: the number of rows says so without reading them.
	if len(claims) == 1 {
		result, err := t.ExecContext(ctx, b.String(), args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		fresh[0] = n == 1
		return err
	}
	b.WriteString(" RETURNING message_id, handler")
	rows, err := t.QueryContext(ctx, b.String(), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c Claim
		if err := rows.Scan(&c.MessageID, &c.Handler); err != nil {
			return err
		}
		fresh[index[c]] = true
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
