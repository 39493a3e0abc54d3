package resource_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/resource"
)

// A timestamp is what is read back of it, in both encodings, in whatever zone it was
// taken.
func TestTimestamps(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, time.Local, time.FixedZone("east", 5*3600+1800)} {
		at := time.Date(2031, 5, 6, 7, 8, 9, 987654321, zone)
		e := &corev1.Event{EventTime: resource.MicroTimestamp(at)}
		e.CreationTimestamp = resource.Timestamp(at)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON, fromProto corev1.Event
		if err := json.Unmarshal(b, &fromJSON); err != nil {
			t.Fatal(err)
		}
		if b, err = e.Marshal(); err != nil {
			t.Fatal(err)
		}
		if err := fromProto.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]corev1.Event{"JSON": fromJSON, "protobuf": fromProto} {
			if diff := cmp.Diff(*e, got); diff != "" {
				t.Errorf("%s, %s (-made +read):\n%s", zone, what, diff)
			}
		}
		if e.CreationTimestamp.Nanosecond() != 0 || e.EventTime.Nanosecond() != 987654000 {
			t.Errorf("%s: %v, %v", zone, e.CreationTimestamp, e.EventTime)
		}
	}
}
