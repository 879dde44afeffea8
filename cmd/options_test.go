package cmd

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/services/marketdata/provider"
)

// The provider that has a setting of its own is the default, and a public one without a key where there is none.
func TestTheDefaultProvider(t *testing.T) {
	for _, c := range []struct {
		want, folder string
		env          map[string]string
	}{
		{want: "yahoo"},
		{want: "folder", folder: "prices"},
		{want: "folder", env: map[string]string{"STEGA_PRICES_FOLDER": "prices"}},
		{want: "eodhd", env: map[string]string{"STEGA_EODHD_KEY": "k"}},
		{want: "stooq", folder: "prices", env: map[string]string{"STEGA_PRICES_PROVIDER": "stooq"}},
	} {
		t.Run(c.want, func(t *testing.T) {
			for _, name := range []string{
				"STEGA_PRICES_FOLDER", "STEGA_PRICES_PROVIDER", "STEGA_EODHD_KEY", "STEGA_EODHD_URL", "STEGA_STOOQ_KEY",
				"STEGA_STOOQ_URL", "STEGA_YAHOO_URL",
			} {
				t.Setenv(name, c.env[name])
			}
			o, err := options(c.folder)
			require.NoError(t, err)
			assert.Equal(t, c.want, o.Marketdata.Provider)
			assert.Equal(t, provider.PublicYahoo, o.Marketdata.Yahoo.BaseURL)
		})
	}
}
