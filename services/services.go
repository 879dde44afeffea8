// Package services declares the interfaces that every service of the suite implements; each service is a package
// below it. No service imports another: they share only the events of package events.
package services

import (
	"context"

	"stega/bus"
	"stega/events"
	"stega/rest"
)

// Service is one bounded context: its commands, its event handlers, its read views, its own database.
type Service interface {
	// Name returns the service's name, which its topics, queues and database carry.
	Name() string
	// Register registers a handler for each command and event of the service. It is the table of contents.
	Register(d *bus.Dispatcher)
	// Routes returns the HTTP routes of the service; port is not used before one of them is served.
	Routes(port rest.Service) []rest.Route
}

// Rebuilder is a service whose read views can be rebuilt.
type Rebuilder interface {
	// Rebuild returns the command that does so.
	Rebuild() events.Typed
}

// Runner is implemented by a service with background work of its own, such as a schedule.
type Runner interface {
	// Run works until ctx ends. The process calls it in the consumer role.
	Run(ctx context.Context) error
}
