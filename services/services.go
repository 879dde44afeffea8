// Package services holds what every service of the suite has in common; each service is a package below it.
// No service imports another: they meet in package events.
package services

import (
	"context"

	"github.com/labstack/echo/v4"

	"stega/bus"
	"stega/rest"
)

// Service is one bounded context: its commands, its event handlers, its read views, its own database.
type Service interface {
	// Name is the service's name: of its topics, its queues and its database.
	Name() string
	// Register is the table of contents: all commands and events that the service answers to.
	Register(d *bus.Dispatcher)
	// Routes adds the service's paths below /v1.
	Routes(v1 *echo.Group, port rest.Service)
}

// Runner is implemented by a service that works by itself besides, such as by a schedule.
type Runner interface {
	// Run works until ctx ends. The process calls it in the consumer role.
	Run(ctx context.Context) error
}
