package returns

import (
	"maps"
	"slices"

	"stega/rest"
)

// The JSON Schemas of the answers, whose fields follow from the statistics that there are.

var (
	dateSchema          = rest.Schema{"type": "string", "format": "date"}
	numberSchema        = rest.Schema{"type": "number"}
	integerSchema       = rest.Schema{"type": "integer"}
	textSchema          = rest.Schema{"type": "string"}
	statisticSchema     = rest.Schema{"type": []string{"number", "null"}} // null where it is not defined
	statisticListSchema = rest.Schema{"type": "array", "items": statisticSchema}
)

// objectSchema returns the schema of an object with some sets of properties. All are required but undefined and
// benchmark.
func objectSchema(sets ...rest.Schema) rest.Schema {
	properties, required := rest.Schema{}, []string{}
	for _, set := range sets {
		maps.Copy(properties, set)
	}
	for name := range properties {
		if name != "undefined" && name != "benchmark" {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	return rest.Schema{"type": "object", "properties": properties, "required": required}
}

// enumSchema returns the schema of a text that is one of some values.
func enumSchema(values []string) rest.Schema { return rest.Schema{"type": "string", "enum": values} }

func listSchema(items any) rest.Schema { return rest.Schema{"type": "array", "items": items} }

// portfolioSchema returns the properties of an answer about a portfolio.
func portfolioSchema() rest.Schema {
	return rest.Schema{
		"portfolio_id": textSchema,
		"version":      integerSchema,
		"rebalance":    enumSchema(rebalanceParam.Values),
	}
}

// benchmarkSchema returns the schema of a benchmark, which is an asset or a portfolio.
func benchmarkSchema(properties rest.Schema) rest.Schema {
	return rest.Schema{"anyOf": []any{
		objectSchema(rest.Schema{"symbol": textSchema}, properties), objectSchema(portfolioSchema(), properties),
	}}
}

// headSchema returns the properties that answers begin with, and others.
func headSchema(others rest.Schema) rest.Schema {
	properties := rest.Schema{
		"from":         dateSchema,
		"to":           dateSchema,
		"frequency":    enumSchema(frequencyParam.Values),
		"observations": integerSchema,
	}
	maps.Copy(properties, others)
	return properties
}

// statisticsSchema adds the properties of statistics to others.
func statisticsSchema(list []statistic, properties rest.Schema) rest.Schema {
	for _, f := range list {
		properties[f.name] = statisticSchema
	}
	properties["undefined"] = undefinedSchema()
	return properties
}

func undefinedSchema() rest.Schema {
	return rest.Schema{
		"type":                 "object",
		"additionalProperties": textSchema,
		"description":          "why a statistic is null, by its name",
	}
}

func summarySchema() rest.Schema {
	dateOrNull := rest.Schema{"type": []string{"string", "null"}, "format": "date"}
	return headSchema(statisticsSchema(statistics, rest.Schema{
		"risk_free": numberSchema, "required": numberSchema, "confidence": numberSchema,
		"max_drawdown_start": dateOrNull, "max_drawdown_trough": dateOrNull, "max_drawdown_end": dateOrNull,
		"benchmark": benchmarkSchema(headSchema(statisticsSchema(relatives, rest.Schema{}))),
	}))
}

func seriesSchema() rest.Schema {
	return rest.Schema{
		"kind":      enumSchema(kindParam.Values),
		"frequency": enumSchema(frequencyParam.Values),
		"dates":     listSchema(dateSchema),
		"values":    statisticListSchema,
		"benchmark": benchmarkSchema(rest.Schema{"values": statisticListSchema}),
	}
}

func drawdownsSchema() rest.Schema {
	return headSchema(rest.Schema{"count": integerSchema, "drawdowns": listSchema(rest.TypeOf{Zero: Drawdown{}})})
}

func tableSchema() rest.Schema {
	return headSchema(rest.Schema{"by": enumSchema(byParam.Values), "years": listSchema(rest.TypeOf{Zero: YearOf{}})})
}

func rollingSchema() rest.Schema {
	return headSchema(rest.Schema{
		"metric":    textSchema,
		"window":    integerSchema,
		"dates":     listSchema(dateSchema),
		"values":    statisticListSchema,
		"undefined": undefinedSchema(),
		"benchmark": benchmarkSchema(rest.Schema{}),
	})
}
