package process

import (
	"slices"
	"strings"

	"stega/fault"
	"stega/services"
	"stega/services/boundary"
	"stega/services/correlations"
	"stega/services/marketdata"
	"stega/services/optimization"
	"stega/services/portfolio"
	"stega/services/returns"
	"stega/store"
)

// Options are the settings of single services.
type Options struct {
	Marketdata   marketdata.Options
	Optimization optimization.Options
	Boundary     boundary.Options
}

// member is one service of the suite.
type member struct {
	name  string
	build func(db *store.DB, o Options) services.Service
}

// suite lists the services, ordered by name. It is the one place that names them all.
func suite() []member {
	return []member{
		{"boundary", func(db *store.DB, o Options) services.Service { return boundary.New(db, o.Boundary) }},
		{"correlations", func(db *store.DB, _ Options) services.Service { return correlations.New(db) }},
		{"marketdata", func(db *store.DB, o Options) services.Service { return marketdata.New(db, o.Marketdata) }},
		{"optimization", func(db *store.DB, o Options) services.Service {
			return optimization.New(db, o.Optimization)
		}},
		{"portfolio", func(db *store.DB, _ Options) services.Service { return portfolio.New(db) }},
		{"returns", func(db *store.DB, _ Options) services.Service { return returns.New(db) }},
	}
}

// Names lists the services of the suite, ordered.
func Names() []string {
	var names []string
	for _, m := range suite() {
		names = append(names, m.name)
	}
	return names
}

// find returns the service of a name; a name that the suite does not have is a fault.
func find(name string) (member, error) {
	all := suite()
	i := slices.IndexFunc(all, func(m member) bool { return m.name == name })
	if i < 0 {
		return member{}, fault.Usage("service_unknown", "there is no service %q", name).
			WithHint("the services are %s, and all", strings.Join(Names(), ", "))
	}
	return all[i], nil
}
