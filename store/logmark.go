package store

import (
	"context"

	"github.com/uptrace/bun"
)

// LogMark is how far a topic of the log is handled: every event of it up to the position is in the inbox. The message
// at that position proves that the log is still the same one. The zero position without a message is before
// everything.
type LogMark struct {
	bun.BaseModel `bun:"table:log_marks"`

	Topic     string `bun:",pk"`
	Position  uint64
	MessageID string
}

// Before reports whether a mark is before another.
func (m LogMark) Before(other LogMark) bool {
	return m.Position < other.Position || m.MessageID == "" && other.MessageID != ""
}

// LogMarks reads the marks, by topic.
func (d *DB) LogMarks(ctx context.Context) (map[string]LogMark, error) {
	var rows []LogMark
	if err := d.Read().NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, d.explain(ctx, err)
	}
	marks := make(map[string]LogMark, len(rows))
	for _, m := range rows {
		marks[m.Topic] = m
	}
	return marks, nil
}

// SetLogMarks stores marks.
func (in *Inbox) SetLogMarks(marks []LogMark) {
	if len(marks) > 0 {
		in.tx.Queue(in.tx.NewInsert().Model(&marks).On("CONFLICT (topic) DO UPDATE").
			Set("position = EXCLUDED.position, message_id = EXCLUDED.message_id"))
	}
}

// BeginLogMark stores the mark of a topic that has none yet.
func (in *Inbox) BeginLogMark(m LogMark) {
	in.tx.Queue(in.tx.NewInsert().Model(&m).On("CONFLICT (topic) DO NOTHING"))
}

// Handled reports which claims are in the inbox: the message was handled or parked by the handler, or came as a dead
// letter.
func (d *DB) Handled(ctx context.Context, claims []Claim, collected string) ([]bool, error) {
	ids := make([]string, len(claims))
	for i, c := range claims {
		ids[i] = plain(c.MessageID)
	}
	var rows []Claim
	err := d.Read().NewSelect().Table("inbox").Column("message_id", "handler").Where("message_id IN (?)",
		bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, d.explain(ctx, err)
	}
	found := make(map[Claim]bool, len(rows))
	for _, c := range rows {
		found[c] = true
	}
	handled := make([]bool, len(claims))
	for i, c := range claims {
		handled[i] = found[Claim{ids[i], c.Handler}] || found[Claim{ids[i], collected}]
	}
	return handled, nil
}
