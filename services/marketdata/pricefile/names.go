package pricefile

import (
	"strings"
	"unicode"

	"stega/events"
)

// fieldOf returns the field of a column's name, of which only letters and digits count. A weak spelling yields to a
// strong one in the same header.
func fieldOf(name string) (f field, weak bool) {
	switch fold(strings.TrimLeft(name, "0123456789. ")) { // 4. close
	case "date", "day", "datum", "data", "fecha", "tradedate", "tradingdate", "tradingday", "asofdate",
		"observationdate", "pricedate", "valuationdate", "navdate", "dtyyyymmdd", "businessdate":
		return fieldDate, false
	case "timestamp", "time", "datetime", "snappedat", "unix", "unixtime", "epoch", "timeclose", "zeit":
		return fieldDate, true
	case "symbol", "ticker", "code", "tickersymbol", "instrument":
		return fieldSymbol, false
	case "close", "closeprice", "closingprice", "closelast", "pxclose", "schlusskurs", "schluss", "zamkniecie",
		"zamknięcie", "cierre", "chiusura", "clôture", "cloture", "slotkoers":
		return fieldClose, false
	case "last", "price", "lastprice", "pxlast", "quote", "kurs", "settle", "settlement", "settleprice",
		"settlementprice", "nav", "navpershare", "netassetvalue", "value", "wert", "rate", "level", "unitprice",
		"zuletzt", "dernier", "último", "ultimo", "laatst", "cena", "preis", "rücknahmepreis", "ruecknahmepreis",
		"anteilwert":
		return fieldClose, true
	case "open", "openprice", "openingprice", "pxopen", "eröffnung", "eröffnungskurs", "eröffn", "erster",
		"otwarcie", "apertura", "ouverture", "eröffnungspreis":
		return fieldOpen, false
	case "high", "highprice", "pxhigh", "hoch", "tageshoch", "najwyzszy", "najwyższy", "máximo", "maximo",
		"massimo", "plushaut":
		return fieldHigh, false
	case "low", "lowprice", "pxlow", "tief", "tagestief", "najnizszy", "najniższy", "mínimo", "minimo", "minimum",
		"plusbas":
		return fieldLow, false
	case "adjclose", "adjustedclose", "adjcloseprice", "adjustedcloseprice", "closeadj", "closeadjusted",
		"adjusted":
		return fieldAdjClose, false
	case "volume", "vol", "pxvolume", "volumen", "wolumen", "stück", "umsatz", "volumenstück":
		return fieldVolume, false
	case "dividend", "dividends", "divcash", "dividendamount", "cashdividend":
		return fieldDividend, false
	case "split", "splits", "stocksplit", "stocksplits", "splitfactor", "splitratio", "splitcoefficient":
		return fieldSplit, false
	// Columns that price tables have and nothing needs.
	case "change", "chg", "changepct", "chgpct", "pctchange", "pctchg", "changepercent", "return", "returns",
		"dailyreturn", "bid", "ask", "mid", "average", "avg", "vwap", "turnover", "openinterest", "openint", "oi",
		"amount", "marketcap", "trades", "notrades", "nooftrades", "currency", "per", "period", "change24h",
		"capitalgains", "totalvolume", "quotevolume", "basevolume", "var", "variation", "varpct", "diff",
		"veränderung", "prevclose", "previousclose", "adjopen", "adjhigh", "adjlow", "adjvolume":
		return fieldOther, true
	}
	return fieldNone, false
}

func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// isTicker reports whether a name is written as symbols are.
func isTicker(name string) bool {
	if strings.ToUpper(name) != name || strings.ContainsAny(name, "_:") {
		return false
	}
	_, err := events.Symbol(name)
	return err == nil
}

// cutName divides a name such as AAPL.Close, close_AAPL or ('Close', 'AAPL') into the symbol and the field.
func cutName(name string) (symbol string, f field, weak bool) {
	if known, _ := fieldOf(name); known != fieldNone {
		return "", fieldNone, false
	}
	try := func(a, b string) bool {
		known, w := fieldOf(b)
		s, err := events.Symbol(a)
		if known < fieldClose || known == fieldNone || err != nil || !isTicker(a) || knownCurrency(a) {
			return false
		}
		if other, _ := fieldOf(a); other != fieldNone {
			return false
		}
		symbol, f, weak = s, known, w
		return true
	}
	if inner, ok := strings.CutPrefix(name, "("); ok {
		a, b, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ",")
		a, b = strings.Trim(a, "'\" "), strings.Trim(b, "'\" ")
		_ = try(a, b) || try(b, a)
		return symbol, f, weak
	}
	for i := range len(name) {
		if name[i] != '.' && name[i] != '_' && name[i] != '|' {
			continue
		}
		if try(name[:i], name[i+1:]) || name[i] != '.' && try(name[i+1:], name[:i]) {
			break
		}
	}
	return symbol, f, weak
}

// symbolOf makes a symbol of a name: of Long/Short Equity, LONG-SHORT-EQUITY.
func symbolOf(name string) string {
	words := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._^=:&", r)
	})
	return strings.Join(words, "-")
}
