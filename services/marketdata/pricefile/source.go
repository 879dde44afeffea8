package pricefile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
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
	known bool // the encoding is
}

func newSource(ctx context.Context, r io.Reader, limit int64) *source {
	s := &source{ctx: ctx, buf: make([]byte, 128<<10), limit: limit, hash: sha256.New()}
	s.r = &raw{r, s}
	return s
}

// raw counts and hashes the bytes of the body.
type raw struct {
	io.Reader
	s *source
}

func (r *raw) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.s.bytes += int64(n)
	r.s.hash.Write(b[:n])
	if r.s.bytes > r.s.limit {
		return n, errTooLarge
	}
	return n, err
}

// decode reads a body in UTF-16 as UTF-8. It returns true when the body is in UTF-16.
func (s *source) decode() bool {
	s.known = true
	b := s.buf[:min(s.end, 4)]
	var order unicode.Endianness
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), len(b) == 4 && b[1] == 0 && b[3] == 0 && b[0] != 0:
		order = unicode.LittleEndian
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}), len(b) == 4 && b[0] == 0 && b[2] == 0 && b[1] != 0:
		order = unicode.BigEndian
	default:
		return false
	}
	before := io.MultiReader(bytes.NewReader(bytes.Clone(s.buf[:s.end])), s.r)
	s.r = transform.NewReader(before, unicode.UTF16(order, unicode.UseBOM).NewDecoder())
	s.end = 0
	return true
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
		if !s.known && (s.end >= 4 || err == io.EOF) && s.decode() {
			continue
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
