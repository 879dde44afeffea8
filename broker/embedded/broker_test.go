package embedded

import (
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
			message, err := decode(nil, body)
			b.mu.Lock()
			defer b.mu.Unlock()
			q := b.queue(service, broker.Events)
			q.load.add(len(body))
			q.put(&item{message: &events.Message{Envelope: message.Envelope, Data: body}, size: len(body), err: err})
			q.serve()
		},
		Refuse: func(t *testing.T, _ string) {
			b := of(t)
			info, err := b.srv.log.Info(t.Context())
			require.NoError(t, err)
			info.Config.MaxMsgSize = 1
			_, err = b.srv.js.UpdateStream(t.Context(), info.Config)
			require.NoError(t, err)
		},
		Patience: 20 * time.Second,
	})
}
