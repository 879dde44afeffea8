package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// Type is one entry of the catalogue.
type Type struct {
	Topic   string
	Service string // its publisher; "stega" for events of any service
	Summary string
	goType  reflect.Type
}

// Internal reports whether only the bus itself publishes the type.
func (t Type) Internal() bool {
	_, ok := reflect.Zero(t.goType).Interface().(internal)
	return ok
}

// Is reports whether v is a value of this type.
func (t Type) Is(v Typed) bool { return reflect.TypeOf(v) == t.goType }

// New returns a pointer to a zero value, as a target for decoding.
func (t Type) New() any { return reflect.New(t.goType).Interface() }

// Decode decodes the data of a message of this type, in either form (see Marshal).
func (t Type) Decode(data []byte) (Typed, error) {
	if TooDeep(data) {
		return nil, fmt.Errorf("decode %s: %w", t.Topic, errTooDeep)
	}
	p := reflect.New(t.goType)
	if err := Unmarshal(data, p.Interface()); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t.Topic, err)
	}
	return p.Elem().Interface().(Typed), nil
}

var errTooDeep = fmt.Errorf("the JSON nests deeper than %d levels", MaxDepth)

// Catalogue returns every event of the suite, ordered by topic.
func Catalogue() []Type {
	types := []Type{
		entry("portfolio", "a portfolio was created", PortfolioCreated{}),
		entry("portfolio", "a portfolio has a new version", PortfolioUpdated{}),
		entry("portfolio", "a portfolio was deleted", PortfolioDeleted{}),
		entry("marketdata", "daily bars of a symbol are new or were corrected", PricesImported{}),
		entry("returns", "the return series of a symbol changed", AssetUpdated{}),
		entry("returns", "the returns of a portfolio may have changed", PortfolioReturnsUpdated{}),
		entry("correlations", "the correlations of some symbols may have changed", CorrelationsUpdated{}),
		entry("optimization", "optimal weights were found", OptimizationCompleted{}),
		entry("stega", "a service rebuilds its read views and requests state again", ReplayRequested{}),
		entry("stega", "an owner has published a page of its state again, for a rebuild", ReplayPaged{}),
		entry("stega", "messages were handled; lists the messages that they caused", Handled{}),
		entry("stega", "a deferred command waits for its turn", OperationAccepted{}),
		entry("stega", "a deferred command made progress", OperationProgressed{}),
		entry("stega", "a command finished", OperationResolved{}),
		entry("stega", "all effects of an operation are committed in every service", OperationSettled{}),
		entry("stega", "an operation does not settle for now", OperationStalled{}),
	}
	slices.SortFunc(types, func(a, b Type) int { return cmp.Compare(a.Topic, b.Topic) })
	return types
}

// Lookup returns the type of a topic.
func Lookup(topic string) (Type, bool) {
	for _, t := range Catalogue() {
		if t.Topic == topic {
			return t, true
		}
	}
	return Type{}, false
}

func entry(service, summary string, zero Typed) Type {
	return Type{Topic: zero.Topic(), Service: service, Summary: summary, goType: reflect.TypeOf(zero)}
}

// DecodeStrict decodes and checks data that a person wrote: an unknown field or a value after the first is an error.
func (t Type) DecodeStrict(data []byte) (Typed, error) {
	if TooDeep(data) {
		return nil, errTooDeep
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	p := reflect.New(t.goType)
	if err := decoder.Decode(p.Interface()); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the first JSON value")
	}
	v := p.Elem().Interface().(Typed)
	if c, ok := v.(interface{ Check() error }); ok {
		if err := c.Check(); err != nil {
			return nil, err
		}
	}
	return v, nil
}
