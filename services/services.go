// Package services declares the interfaces that every service of the suite implements; each service is a package
// below it. No service imports another: they share only the events of package events.
package services

import (
	"context"

	"github.com/labstack/echo/v4"

	"stega/bus"
	"stega/rest"
)

// Service is one bounded context: its commands, its event handlers, its read views, its own database.
type Service interface {
	// Name returns the service's name, which its topics, queues and database carry.
	Name() string
	// Register registers a handler for each command and event of the service. It is the table of contents.
	Register(d *bus.Dispatcher)
	// Routes adds the service's paths below /v1.
	Routes(v1 *echo.Group, port rest.Service)
}

// Runner is implemented by a service with background work of its own, such as a schedule.
type Runner interface {
	// Run works until ctx ends. The process calls it in the consumer role.
	Run(ctx context.Context) error
}
