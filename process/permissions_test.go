package process

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
)

// Each service's user of the broker may publish the events of its service, and what every service says of its work;
// nothing else.
func TestAServicesUserMayPublishItsOwnEventsAlone(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../deploy/rabbitmq-definitions.json")
	require.NoError(t, err)
	var definitions struct {
		Permissions []struct {
			User, Exchange, Write string
		} `json:"topic_permissions"`
	}
	require.NoError(t, json.Unmarshal(text, &definitions))
	may := map[string]*regexp.Regexp{}
	for _, p := range definitions.Permissions {
		assert.Equal(t, "stega.events", p.Exchange)
		may[p.User] = regexp.MustCompile(p.Write)
	}
	verdict := map[string]bool{"operation.settled": true, "operation.stalled": true} // what the boundary alone finds
	for _, service := range Names() {
		require.NotNil(t, may[service], "%s has no topic permission", service)
		for _, e := range events.Catalogue() {
			want := e.Service == service || e.Service == "stega" && (!verdict[e.Topic] || service == "boundary")
			assert.Equal(t, want, may[service].MatchString(e.Topic), "%s publishes %s of %s", service, e.Topic,
				e.Service)
		}
	}
}
