package rest

import "net/http"

// Recorder records the status of an answer.
type Recorder struct {
	http.ResponseWriter

	Status int               // 0 until the header is written
	Before func(http.Header) // called once, before the header is written; may be nil
}

// WriteHeader records the status of the answer. Those below 200 precede it.
func (r *Recorder) WriteHeader(status int) {
	if r.Status == 0 && status >= http.StatusOK {
		r.Status = status
		if r.Before != nil {
			r.Before(r.Header())
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *Recorder) Write(b []byte) (int, error) {
	r.begin()
	return r.ResponseWriter.Write(b)
}

// Flush sends what was written so far. A writer that cannot flush sends it at the end.
func (r *Recorder) Flush() {
	r.begin()
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

func (r *Recorder) begin() {
	if r.Status == 0 {
		r.WriteHeader(http.StatusOK)
	}
}

// Unwrap lets http.ResponseController reach what is below.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
