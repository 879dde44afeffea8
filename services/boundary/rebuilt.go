package boundary

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"stega/events"
	"stega/store"
)

// A message that was lost on its way to a service leaves its operation open for good. A rebuild of the service brings
// the effect that is missing: the views then have the state of the owners. So a settled rebuild closes what
// operations wait for at the service, as far as the messages were emitted before it began.

// emittedBefore is how long before a rebuild a message must have been emitted: the unit of work that emitted it must
// be committed when the owner reads its state.
const emittedBefore = 5 * time.Second

// rebuild describes the rebuild of a service's views, as the entry of its operation.
type rebuild struct {
	Topics []string  `json:"topics"` // of the events that the views grow from
	Since  time.Time `json:"since"`
}

// rebuilding records which views an operation rebuilds. The request that begins a rebuild names no owner.
func (s *Service) rebuilding(_ context.Context, tx *store.Tx, e events.ReplayRequested) error {
	if e.Rebuild != "" && e.Owner == "" {
		s.enter(tx, e.Rebuild, entry{Service: e.Service, Rebuild: &rebuild{Topics: e.Topics, Since: tx.Cause().Time}})
	}
	return nil
}

// rebuilt records a rebuild that has settled, when it succeeded.
func (b *ledgerTx) rebuilt(t *tree) error {
	if t.rebuild == nil || t.state.Status != string(store.Succeeded) {
		return nil
	}
	topics, err := json.Marshal(t.rebuild.Topics)
	if err != nil {
		return err
	}
	b.tx.Queue(b.tx.NewRaw(`INSERT INTO rebuilt (service, topics, since) VALUES (?, ?, ?) ON CONFLICT (service)
		DO UPDATE SET topics = excluded.topics, since = excluded.since WHERE excluded.since > rebuilt.since`,
		t.state.Service, string(topics), t.rebuild.Since.UnixMicro()))
	b.settled = true
	return nil
}

// lookAgain makes the sweep evaluate all stalled and failed operations.
func (b *ledgerTx) lookAgain() {
	b.tx.Queue(
		b.tx.NewRaw("UPDATE ledger SET changed_at = 0 WHERE outcome <> ? AND outcome IN (?, ?) AND command <> ''",
			Settled, Stalled, Failed))
}

// views are those of a service that were rebuilt.
type views struct {
	service string
	rebuild
}

// reflect enters what was rebuilt since an operation began to wait.
func (b *ledgerTx) reflect(ctx context.Context, a *operationState) error {
	if b.views == nil {
		var rows []struct {
			Service, Topics string
			Since           int64
		}
		if err := b.tx.NewSelect().Table("rebuilt").Column("service", "topics", "since").OrderExpr("service").Scan(ctx,
			&rows); err != nil {
			return fmt.Errorf("read what was rebuilt: %w", err)
		}
		b.views = make([]views, len(rows))
		for i, row := range rows {
			b.views[i] = views{row.Service, rebuild{Since: time.UnixMicro(row.Since).UTC()}}
			if err := json.Unmarshal([]byte(row.Topics), &b.views[i].Topics); err != nil {
				return fmt.Errorf("read what was rebuilt: %w", err)
			}
		}
	}
	for _, v := range b.views {
		for service, receipts := range a.tree.reflected(v, b.tx.Now()) {
			if err := b.add(ctx, operationEntry{a.row.ID, entry{Service: service, Receipts: receipts}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// reflected returns receipts, by service, of the handlings that a rebuild stands for: those that never came, and
// those that were given up before it began, for it removes their dead letters. The messages of an earlier rebuild of
// the same views are obsolete.
func (t *tree) reflected(v views, now time.Time) map[string][]events.Receipt {
	all := map[string][]events.Receipt{}
	request, page := (events.ReplayRequested{}).Topic(), (events.ReplayPaged{}).Topic()
	for _, w := range t.open() {
		n := t.nodes[w.Message]
		own := w.Service == v.service && (slices.Contains(v.Topics, w.Topic) || w.Topic == page)
		if !own && (w.Topic != request || w.Subject != v.service) || !n.known || n.ID == t.id ||
			!minted(w.Message).Before(v.Since.Add(-emittedBefore)) {
			continue
		}
		h := n.reports[w.Service]
		lost := w.State == pending && (h == nil || h.omitted == 0)
		if !lost && (w.State != events.ReceiptDead || !w.Since.Before(v.Since)) {
			continue
		}
		all[w.Service] = append(all[w.Service], events.Receipt{
			Message: w.Message, Topic: w.Topic, About: w.Subject, Operation: t.id, Handler: w.Handler, State: rebuilt,
			SentAt: minted(w.Message), At: now,
		})
	}
	return all
}

// minted returns the time in a message's id; that of now when it has none.
func minted(id string) time.Time {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return time.Now()
	}
	return time.Unix(u.Time().UnixTime())
}
