package pricefile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

var (
	errTooLarge = errors.New("the body is too large")
	errLongLine = errors.New("a line is too long")
)

// source splits a reader into blocks of whole lines, and counts and hashes all bytes.
type source struct {
	ctx   context.Context
	r     io.Reader
	buf   []byte
	start int // buf[start:end] is read and not handed out
	end   int
	done  bool
	bytes int64
	limit int64
	hash  hash.Hash
}

func newSource(ctx context.Context, r io.Reader, limit int64) *source {
	return &source{ctx: ctx, r: r, buf: make([]byte, 128<<10), limit: limit, hash: sha256.New()}
}

// next returns the next block, which ends after a line feed or at the end of the body. The block is valid until the
// next call.
func (s *source) next() ([]byte, error) {
	s.end = copy(s.buf, s.buf[s.start:s.end])
	s.start = 0
	for idle := 0; !s.done; {
		if err := s.ctx.Err(); err != nil {
			return nil, context.Cause(s.ctx)
		}
		if s.end == len(s.buf) {
			if s.end > maxLine {
				return nil, errLongLine
			}
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		n, err := s.r.Read(s.buf[s.end:])
		fresh := s.buf[s.end : s.end+n]
		s.end += n
		s.bytes += int64(n)
		s.hash.Write(fresh)
		if s.bytes > s.limit {
			return nil, errTooLarge
		}
		if err == io.EOF {
			s.done = true
			break
		}
		if err != nil {
			return nil, err
		}
		if i := bytes.LastIndexByte(fresh, '\n'); i >= 0 {
			s.start = s.end - n + i + 1
			return s.buf[:s.start], nil
		}
		if n > 0 {
			idle = 0
		} else if idle++; idle > 100 {
			return nil, io.ErrNoProgress
		}
	}
	if s.end == 0 {
		return nil, io.EOF
	}
	s.start = s.end
	return s.buf[:s.end], nil
}
