package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"stega/fault"
	"stega/rest"
)

// command is a message of a client: an id and one of the verbs.
type command struct {
	ID          uint64
	Subscribe   *subscribe
	Unsubscribe *unsubscribe
	Auth        *auth
	Ping        *ping
}

type (
	subscribe struct {
		Channel  string    `json:"channel"`
		From     *Position `json:"from"`
		Coalesce bool      `json:"coalesce"`
	}
	unsubscribe struct {
		Channel string `json:"channel"`
	}
	auth struct {
		Token string `json:"token"`
	}
	ping struct{}
)

const commandHint = `a command looks like {"id":1,"subscribe":{"channel":"portfolio.*"}}; ` +
	"the verbs are subscribe, unsubscribe, auth and ping"

// decodeCommand reads a command. With an id above 0 an error can be answered, and the connection goes on; without one
// it cannot.
func decodeCommand(data []byte) (command, error) {
	var c command
	unique := rest.Unique(data)
	if f := fault.Of(unique); f != nil && f.Kind == fault.KindMalformed {
		return c, fault.Malformed("command_malformed", "the message is not a JSON object: %s", f.Detail).
			WithHint(commandHint)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return c, fault.Malformed("command_malformed", "the message is not a JSON object").WithHint(commandHint).
			Because(err)
	}
	id, has := fields["id"]
	if !has || json.Unmarshal(id, &c.ID) != nil || c.ID == 0 {
		return c, fault.Malformed("id_missing", "the command has no id, which is a whole number from 1").
			WithHint(commandHint)
	}
	if unique != nil {
		return c, fault.Malformed("field_repeated", "%s", fault.Of(unique).Detail).WithHint(commandHint)
	}
	delete(fields, "id")
	if len(fields) != 1 {
		return c, fault.Malformed("verb_missing", "the command must have one verb, and has %d",
			len(fields)).WithHint(commandHint)
	}
	for verb, body := range fields {
		into := c.verb(verb)
		if into == nil {
			return c, fault.Malformed("verb_unknown", "%q is not a verb", short(verb)).WithHint(commandHint)
		}
		if err := strict(body, into); err != nil {
			return c, fault.Malformed("command_malformed", "%s cannot be read: %s", verb,
				short(strings.TrimPrefix(err.Error(), "json: "))).
				WithHint(commandHint).Because(err)
		}
	}
	return c, nil
}

// verb makes the body of a verb.
func (c *command) verb(name string) any {
	switch name {
	case "subscribe":
		c.Subscribe = &subscribe{}
		return c.Subscribe
	case "unsubscribe":
		c.Unsubscribe = &unsubscribe{}
		return c.Unsubscribe
	case "auth":
		c.Auth = &auth{}
		return c.Auth
	case "ping":
		c.Ping = &ping{}
		return c.Ping
	}
	return nil
}

// strict refuses unknown fields: a field that is ignored could change the meaning of the command.
func strict(data []byte, into any) error {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return errors.New("it is not an object")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}
