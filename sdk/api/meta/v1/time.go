package v1

import (
	"encoding/json"
	"time"
)

// Time is a moment with a resolution of seconds, in RFC 3339 form as it
// travels; "" is no time. It is a string so that decoding an object costs
// nothing for times that nobody reads.
type Time string

// MicroTime is a Time with a resolution of microseconds.
type MicroTime string

const (
	seconds = time.RFC3339
	micros  = "2006-01-02T15:04:05.000000Z07:00"
)

// NewTime is t as a Time; "" of the zero time.
func NewTime(t time.Time) Time {
	if t.IsZero() {
		return ""
	}
	return Time(t.UTC().Format(seconds))
}

// NewMicroTime is t as a MicroTime; "" of the zero time.
func NewMicroTime(t time.Time) MicroTime {
	if t.IsZero() {
		return ""
	}
	return MicroTime(t.UTC().Format(micros))
}

// Now is the present time.
func Now() Time { return NewTime(time.Now()) }

// Time is the moment; the zero time when t is empty or malformed.
func (t Time) Time() time.Time { return parse(string(t)) }

// Time is the moment; the zero time when t is empty or malformed.
func (t MicroTime) Time() time.Time { return parse(string(t)) }

// IsZero tells that there is no time.
func (t Time) IsZero() bool { return t == "" }

// IsZero tells that there is no time.
func (t MicroTime) IsZero() bool { return t == "" }

// Before tells whether t is earlier than u; no time is earlier than any.
func (t Time) Before(u Time) bool { return t.Time().Before(u.Time()) }

func parse(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// MarshalJSON writes null for no time, as Kubernetes does.
func (t Time) MarshalJSON() ([]byte, error) { return marshal(string(t)) }

// MarshalJSON writes null for no time, as Kubernetes does.
func (t MicroTime) MarshalJSON() ([]byte, error) { return marshal(string(t)) }

func marshal(s string) ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(s)
}
