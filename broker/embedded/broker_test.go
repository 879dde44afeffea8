package embedded

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/brokertest"
	"stega/events"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	brokers := map[*testing.T]*Broker{}
	of := func(t *testing.T) *Broker {
		mu.Lock()
		defer mu.Unlock()
		if brokers[t] == nil {
			brokers[t] = open(t, t.TempDir())
		}
		return brokers[t]
	}
	brokertest.Run(t, brokertest.Harness{
		Open: func(t *testing.T) broker.Broker { return of(t) },
		InjectRaw: func(t *testing.T, service string, body []byte, _ map[string]any) {
			b := of(t)
			b.mu.Lock()
			defer b.mu.Unlock()
			q := b.queue(service, broker.Events)
			q.load.add(len(body))
			q.put(&item{message: &events.Message{Data: body}, size: len(body), err: errors.New("it has no envelope")})
			q.serve()
		},
		Refuse: func(t *testing.T, _ string) {
			_, err := of(t).file.Load().writing.ExecContext(t.Context(), refuseEntries)
			require.NoError(t, err)
		},
		Patience: 20 * time.Second,
	})
}
