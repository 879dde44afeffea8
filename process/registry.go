package process

import (
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

// Names lists the services of the suite, ordered.
func Names() []string {
	return []string{"boundary", "correlations", "marketdata", "optimization", "portfolio", "returns"}
}

// build makes a service by its name, which is one of Names.
func build(name string, db *store.DB, o Options) services.Service {
	switch name {
	case "boundary":
		return boundary.New(db, o.Boundary)
	case "correlations":
		return correlations.New(db)
	case "marketdata":
		return marketdata.New(db, o.Marketdata)
	case "optimization":
		return optimization.New(db, o.Optimization)
	case "portfolio":
		return portfolio.New(db)
	default:
		return returns.New(db)
	}
}
