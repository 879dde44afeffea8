package events

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// The allowed distance between now and the time in an id that a client created. A daemon sends writes that it queued
// while the server was away for long, and clocks differ.
const (
	oldestID = 30 * 24 * time.Hour
	newestID = 10 * time.Minute
)

// CheckID returns an id that a client created in its canonical form. It must be a UUIDv7 whose time is at most 30
// days ago and 10 minutes ahead. Lists are ordered by ids, so an id of another time would have a wrong place forever.
func CheckID(text string, now time.Time) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return "", fmt.Errorf("%.64q is not a UUID", text)
	}
	if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		return id.String(), fmt.Errorf("%s is not a UUIDv7", id)
	}
	var millis int64
	for _, b := range id[:6] {
		millis = millis<<8 | int64(b)
	}
	at := time.UnixMilli(millis)
	if at.Before(now.Add(-oldestID)) || at.After(now.Add(newestID)) {
		return id.String(), fmt.Errorf("%s is of %s, more than 30 days ago or 10 minutes ahead", id,
			at.UTC().Format(time.RFC3339))
	}
	return id.String(), nil
}
