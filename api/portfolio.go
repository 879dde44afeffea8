package api

import (
	"strings"

	"github.com/govalues/decimal"

	"stega/events"
	"stega/fault"
)

// PortfolioRequest is the body of a request that creates or replaces a portfolio.
type PortfolioRequest struct {
	Name   string         `json:"name" jsonschema:"required"`
	Assets []AssetRequest `json:"assets" jsonschema:"required"`
}

// AssetRequest is one asset of a request.
type AssetRequest struct {
	Symbol string `json:"symbol" jsonschema:"required"`
	Weight Weight `json:"weight" jsonschema:"required"` // the weights of a portfolio add up to 1
}

// NewPortfolioRequest returns the request for a portfolio of assets.
func NewPortfolioRequest(name string, assets []events.Asset) PortfolioRequest {
	r := PortfolioRequest{Name: name, Assets: make([]AssetRequest, len(assets))}
	for i, a := range assets {
		r.Assets[i] = AssetRequest{Symbol: a.Symbol, Weight: Weight{a.Weight}}
	}
	return r
}

// EventAssets returns the assets of a request as events have them.
func (r PortfolioRequest) EventAssets() []events.Asset {
	assets := make([]events.Asset, len(r.Assets))
	for i, a := range r.Assets {
		assets[i] = events.Asset{Symbol: a.Symbol, Weight: a.Weight.Decimal}
	}
	return assets
}

// Weight is a decimal that is refused when it has more digits than are stored, and never rounded.
type Weight struct{ decimal.Decimal }

// UnmarshalJSON decodes a number or a string.
func (w *Weight) UnmarshalJSON(text []byte) error {
	mantissa, _, _ := strings.Cut(strings.ToLower(strings.Trim(string(text), `"+-`)), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+strings.TrimRight(fraction, "0"), "0")
	err := w.Decimal.UnmarshalJSON(text)
	if len(digits) > decimal.MaxPrec || err == nil && digits != "" && w.IsZero() {
		return fault.Invalid("weight_invalid", "%.40s has more than %d digits: write it as it is to be kept", text,
			decimal.MaxPrec)
	}
	return err
}
