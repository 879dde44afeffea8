package faults_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deadLetterRetried makes an import dead at one consumer, corrects it, and retries the dead letter. The correction
// was queued behind it, and stays.
func deadLetterRetried(t *testing.T, l *load) {
	sound := l.after(func() {
		l.SQL("returns", "DROP TRIGGER IF EXISTS unlucky ON series", "DROP FUNCTION IF EXISTS unlucky()")
	})
	l.SQL("returns", `CREATE FUNCTION unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.symbol = 'HELD' THEN RAISE EXCEPTION 'a symbol of no luck'; END IF; RETURN NEW; END $$`,
		"CREATE TRIGGER unlucky BEFORE INSERT OR UPDATE ON series FOR EACH ROW EXECUTE FUNCTION unlucky()")
	prices := func(last string) {
		status, body := l.request(http.MethodPost, "/v1/prices",
			"date,symbol,close\n2024-01-02,HELD,100\n2024-01-03,HELD,"+last+"\n", "Content-Type", "text/csv")
		require.Equal(t, http.StatusAccepted, status, "%s", body)
	}
	prices("999")
	var dead struct {
		Items []struct {
			ID      int64
			Service string
			Subject string
		}
	}
	l.within(over, "the import is a dead letter", func() (bool, string) {
		l.SQL("returns", "UPDATE parked SET due_at = 0 WHERE subject = 'HELD'") // without waiting for the next attempt
		_, body := l.request(http.MethodGet, "/v1/dead?state=dead", "")
		_ = json.Unmarshal(body, &dead)
		return len(dead.Items) > 0, string(body)
	})
	prices("150")
	l.some()
	l.within(noticed, "the dead letter is reported", func() (bool, string) {
		_, state := l.Health("returns-consumer")
		return strings.Contains(state, "dead letters of returns"), state
	})
	sound()
	for _, one := range dead.Items {
		status, body := l.request(http.MethodPost, fmt.Sprintf("/v1/dead/%s/%d/retry", one.Service, one.ID), "{}",
			"Content-Type", "application/json")
		assert.Less(t, status, 300, "%s", body)
	}
	l.within(noticed, "the correction is applied", func() (bool, string) {
		_, body := l.request(http.MethodGet, "/v1/returns/assets/HELD/series?kind=cumulative", "")
		return strings.Contains(string(body), "[0,0.5]"), string(body)
	})
}
