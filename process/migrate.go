package process

import (
	"context"
	"fmt"
	"strings"

	"stega/broker"
	"stega/fault"
	"stega/migrations"
	"stega/store"
)

func (p *Process) schema(ctx context.Context, db *store.DB) error {
	files, err := migrations.Of(db.Service())
	if err != nil {
		return err
	}
	if p.cfg.Migrate {
		return db.Migrate(ctx, files)
	}
	pending, err := db.Pending(ctx, files)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fault.Unavailable("schema_outdated", "the database of %s lacks %d migrations", db.Service(),
			len(pending)).
			WithHint("run: stega migrate")
	}
	return nil
}

// Migrate brings the databases of services and the topology of the broker up to date, and reports each step.
func Migrate(
	ctx context.Context, services []string, database func(service string) string,
	connect func(context.Context) (broker.Broker, error),
	report func(format string, args ...any),
) error {
	for _, name := range services {
		if err := migrate(ctx, name, database(name), report); err != nil {
			return err
		}
	}
	b, err := connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	topology, err := Topology()
	if err != nil {
		return err
	}
	if err := b.Declare(ctx, topology); err != nil {
		return fmt.Errorf("declare the broker's topology: %w", err)
	}
	for _, s := range topology.Services {
		report("broker: %s takes %s", s.Service, strings.Join(s.Topics, ", "))
	}
	return nil
}

func migrate(ctx context.Context, service, url string, report func(format string, args ...any)) error {
	db, err := store.Open(ctx, service, url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	files, err := migrations.Of(service)
	if err != nil {
		return err
	}
	pending, err := db.Pending(ctx, files)
	if err != nil {
		return err
	}
	if err := db.Migrate(ctx, files); err != nil {
		return err
	}
	if len(pending) == 0 {
		report("%s: up to date", service)
	}
	for _, name := range pending {
		report("%s: applied %s", service, name)
	}
	return nil
}
