package rest

import "context"

type callerKey struct{}

// WithCaller keeps the caller of a request in its context: the id of its token, or the name of a caller without one.
func WithCaller(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, callerKey{}, id)
}

// Caller returns the caller of a request; empty where there is no access control.
func Caller(ctx context.Context) string {
	id, _ := ctx.Value(callerKey{}).(string)
	return id
}
