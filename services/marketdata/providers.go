package marketdata

import (
	"slices"
	"strings"

	"stega/api"
	"stega/fault"
	"stega/services/marketdata/provider"
)

// source is a provider of this program.
type source struct {
	api.Provider

	provider provider.Provider // nil when it is not configured
}

// providers returns all providers of this program. The first that is configured is the default.
func providers(o Options) []source {
	all := []source{
		{Provider: api.Provider{
			Name:     "folder",
			About:    "a folder of CSV files",
			Settings: []string{"STEGA_PRICES_FOLDER"},
		}},
		{Provider: api.Provider{
			Name: "eodhd", About: "an end-of-day API of the EODHD kind",
			Settings: []string{"STEGA_EODHD_URL", "STEGA_EODHD_KEY"},
		}},
		{Provider: api.Provider{
			Name:     "stooq",
			About:    "CSV as Stooq serves it",
			Settings: []string{"STEGA_STOOQ_URL", "STEGA_STOOQ_KEY"},
		}},
		{Provider: api.Provider{
			Name:     "yahoo",
			About:    "charts as Yahoo serves them",
			Settings: []string{"STEGA_YAHOO_URL"},
		}},
	}
	if o.Folder != "" {
		all[0].provider = provider.NewFolder(o.Folder)
	}
	if o.EODHD.BaseURL != "" {
		all[1].provider = provider.NewEODHD(o.EODHD)
	}
	if o.Stooq.BaseURL != "" {
		all[2].provider = provider.NewStooq(o.Stooq)
	}
	if o.Yahoo.BaseURL != "" {
		all[3].provider = provider.NewYahoo(o.Yahoo)
	}
	chosen := strings.ToLower(o.Provider)
	for i := range all {
		all[i].Configured = all[i].provider != nil
		if chosen == "" && all[i].Configured {
			chosen = all[i].Name
		}
	}
	for i := range all {
		all[i].Default = all[i].Name == chosen
	}
	return all
}

// CheckProvider returns a fault for the name of an unknown provider; an empty name is the default.
func CheckProvider(name string) error {
	if name == "" {
		return nil
	}
	all := providers(Options{})
	if slices.ContainsFunc(all, func(s source) bool { return s.Name == name }) {
		return nil
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	return fault.Invalid("provider_unknown", "there is no provider of prices %.40q", name).
		With(fault.Item{Pointer: "/provider", Detail: "is not known"}).
		WithHint("the providers are %s", strings.Join(names, ", "))
}

// provider returns the provider of a name, or the default.
func (s *Service) provider(name string) (provider.Provider, error) {
	if err := CheckProvider(name); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.providers, func(p source) bool { return p.Name == name || name == "" && p.Default })
	if i < 0 {
		return nil, noProvider()
	}
	p := s.providers[i]
	if p.provider == nil {
		return nil, fault.Conflict("provider_unconfigured", "the provider %s is not configured", p.Name).
			WithHint("start stega with %s, or choose another: GET /v1/prices/providers",
				strings.Join(p.Settings, " and "))
	}
	return p.provider, nil
}

// noProvider returns the fault of a service without any provider.
func noProvider() error {
	return fault.Conflict("provider_missing", "no provider of prices is set").
		WithHint(
			"start stega with --prices-folder (STEGA_PRICES_FOLDER), or with STEGA_EODHD_URL and STEGA_EODHD_KEY, " +
				"STEGA_STOOQ_URL or STEGA_YAHOO_URL",
		)
}
