package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"

	"stega/fault"
	"stega/rest"
)

// explain answers for a service that gave no answer.
func (g *Gateway) explain(w http.ResponseWriter, r *http.Request, u *upstream, err error) {
	if open, ok := errors.AsType[openError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(open.wait.Seconds())))))
	} else if r.Context().Err() == nil {
		g.o.Log.Warn("a service gave no answer", "service", u.Service, "method", r.Method, "path", r.URL.Path, "error",
			err)
	}
	rest.Refuse(w, r, faultOf(r, u.Service, err))
}

func faultOf(r *http.Request, service string, err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(large.Limit)
	}
	if broken := broken(r); broken != nil {
		if large, ok := errors.AsType[*http.MaxBytesError](broken); ok {
			return tooLarge(large.Limit)
		}
		return fault.Malformed("body_incomplete",
			"the body could not be read to its end").WithHint("send it again, faster").Because(err)
	}
	unknown := ""
	if !reads(r.Method) && sent(err) {
		unknown = ": whether it was done is not known"
	}
	hint := "try again shortly; GET /readyz of its api says what is missing"
	if unknown != "" {
		hint = "send it again with the same Operation-Id: it is done once"
	}
	if slow(err) {
		return fault.New(fault.KindTimeout, "service_slow", "the service %s does not answer in time%s", service,
			unknown).WithHint("%s", hint).Because(err)
	}
	return fault.Unavailable("service_unavailable", "the service %s does not answer%s", service, unknown).WithHint("%s",
		hint).
		Because(fmt.Errorf("%s: %w", service, err))
}

// sent reports whether the request may have reached the service.
func sent(err error) bool {
	if _, open := errors.AsType[openError](err); open {
		return false
	}
	op, ok := errors.AsType[*net.OpError](err)
	return !ok || op.Op != "dial"
}

// slow reports whether a service got the request, and did not answer in time.
func slow(err error) bool { return errors.Is(err, errSlow) || isTimeout(err) && sent(err) }

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
