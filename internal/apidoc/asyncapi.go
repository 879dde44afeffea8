package apidoc

import (
	"encoding/json"
	"fmt"

	"stega/events"
	"stega/internal/eventschema"
)

// AsyncAPI returns the AsyncAPI 3 document of all events of the catalogue, which GET /v1/stream pushes.
func AsyncAPI(catalogue []events.Type) ([]byte, error) {
	channels, operations, messages := object{}, object{}, object{}
	for _, t := range catalogue {
		text, err := eventschema.Of(t)
		if err != nil {
			return nil, err
		}
		var schema object
		if err := json.Unmarshal(text, &schema); err != nil {
			return nil, fmt.Errorf("read the schema of %s: %w", t.Topic, err)
		}
		delete(schema, "$schema")
		messages[t.Topic] = object{
			"name":        t.Topic,
			"title":       t.Topic,
			"summary":     t.Summary,
			"contentType": "application/json",
			"payload":     schema,
		}
		channels[t.Topic] = object{
			"address": t.Topic, "description": t.Summary,
			"messages": object{t.Topic: object{"$ref": "#/components/messages/" + t.Topic}},
		}
		operations["receive."+t.Topic] = object{
			"action": "receive", "channel": object{"$ref": "#/channels/" + t.Topic}, "summary": t.Summary,
		}
	}
	return write(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "stega", "version": "1",
			"description": "The events of stega. A client subscribes to them over WebSocket or server-sent events " +
				"at GET /v1/stream; " +
				"a channel there is a topic, with wildcards. Each push has the CloudEvents attributes of its event.",
		},
		"servers":    object{"boundary": object{"host": "127.0.0.1:8420", "pathname": "/v1/stream", "protocol": "ws"}},
		"channels":   channels,
		"operations": operations,
		"components": object{"messages": messages},
	})
}
