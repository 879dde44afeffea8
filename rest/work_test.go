package rest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"stega/fault"
	"stega/rest"
)

func TestCostlyRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := rest.NewWork(2, 5*time.Second)
		running, release := 0, make(chan struct{})
		heavy := func() error { running++; <-release; return nil }
		for range 2 {
			go func() { assert.NoError(t, w.Do(t.Context(), rest.LightWork+1, heavy)) }()
			synctest.Wait()
		}
		assert.Equal(t, 2, running)
		light := false
		assert.NoError(t, w.Do(t.Context(), rest.LightWork, func() error { light = true; return nil }))
		assert.True(t, light, "what costs little does not wait")

		start := time.Now()
		err := w.Do(t.Context(), 1e9, func() error { t.Error("it had no turn"); return nil })
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, "estimators_busy", fault.Of(err).Code)
		assert.Equal(t, 429, fault.Of(err).Kind.Status())

		gone, leave := context.WithCancel(t.Context())
		leave()
		for _, steps := range []float64{1, 1e9} {
			err = w.Do(gone, steps, func() error { t.Error("nobody waits for it"); return nil })
			assert.ErrorIs(t, err, context.Canceled)
		}
		waited := false
		go func() {
			assert.NoError(t, w.Do(t.Context(), 1e9, func() error { waited = true; return nil }))
		}()
		synctest.Wait()
		close(release)
		synctest.Wait()
		assert.True(t, waited, "its turn came")
	})
}
