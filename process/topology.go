package process

import (
	"fmt"
	"slices"
	"strings"

	"stega/broker"
	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/services"
)

// Topology returns what all services of the suite need of a broker, derived from what they register.
func Topology() (broker.Topology, error) {
	var t broker.Topology
	for _, m := range suite() {
		d, err := dispatcher(m.build(nil, Options{}))
		if err != nil {
			return t, err
		}
		t.Services = append(t.Services, broker.ServiceTopology{Service: m.name, Topics: d.Topics()})
	}
	return t, nil
}

// Subscriptions returns the services that handle each topic, internal topics of the bus left out.
func Subscriptions() (map[string][]string, error) {
	topology, err := Topology()
	if err != nil {
		return nil, err
	}
	subscriptions := map[string][]string{}
	for _, s := range topology.Services {
		for _, topic := range s.Topics {
			if !events.IsInternal(topic) {
				subscriptions[topic] = append(subscriptions[topic], s.Service)
			}
		}
	}
	return subscriptions, nil
}

// Routes lists the handlers of each service of the suite.
func Routes() (map[string][]bus.Route, error) {
	routes := map[string][]bus.Route{}
	for _, m := range suite() {
		d, err := dispatcher(m.build(nil, Options{}))
		if err != nil {
			return nil, err
		}
		routes[m.name] = d.Routes()
	}
	return routes, nil
}

// Select returns the services of a user's lists, such as "all", "returns" or "portfolio,marketdata".
func Select(lists []string) ([]string, error) {
	var names []string
	for _, a := range lists {
		for name := range strings.SplitSeq(a, ",") {
			if name = strings.TrimSpace(name); name == "all" {
				names = append(names, Names()...)
				continue
			}
			if _, err := find(name); err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fault.Usage("service_missing", "no service was named").
			WithHint("say --service=%s, several by commas, or --service=all", Names()[0])
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Role is how a process runs a service.
type Role string

// The roles.
const (
	API      Role = "api"      // HTTP and the command bus
	Consumer Role = "consumer" // the event loop and deferred commands
)

// Roles reads a role, or "all".
func Roles(lists []string) ([]Role, error) {
	var roles []Role
	for _, a := range lists {
		for name := range strings.SplitSeq(a, ",") {
			switch name = strings.TrimSpace(name); name {
			case "all":
				roles = append(roles, API, Consumer)
			case string(API), string(Consumer):
				roles = append(roles, Role(name))
			default:
				return nil, fault.Usage("role_unknown", "there is no role %q", name).
					WithHint("the roles are api, consumer, and all")
			}
		}
	}
	if len(roles) == 0 {
		return nil, fault.Usage("role_missing", "no role was named").WithHint("say --role=api or --role=consumer")
	}
	slices.Sort(roles)
	return slices.Compact(roles), nil
}

func dispatcher(s services.Service, mw ...bus.Middleware) (*bus.Dispatcher, error) {
	d := bus.NewDispatcher(s.Name(), mw...)
	s.Register(d)
	if err := d.Seal(); err != nil {
		return nil, fmt.Errorf("service %s: %w", s.Name(), err)
	}
	return d, nil
}
