// Package projection writes Kubernetes objects as records, with those fields that
// a guest declares: the host's half of sdk/wire/record, which knows the API's own
// types. It keeps no state beyond what it has worked out of Go types and may be
// used from any goroutine. Start at Of.
package projection

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

var encoder = record.NewEncoder(Forms())

// Of prepares to write what a guest declares; see [record.Fields].
//
// # Errors
//   - those of [record.ParseFields]
func Of(text string) (*record.Plan, error) {
	f, err := record.ParseFields(text)
	return encoder.Plan(f), err
}

// Forms are how the API's own types look in JSON, so that they need not be
// marshaled. The caller may add to them.
func Forms() record.Forms {
	f := record.Forms{}
	record.AddForm(f, timeForm)
	record.AddForm(f, microTimeForm)
	record.AddForm(f, quantityForm)
	record.AddForm(f, intOrStringForm)
	record.AddForm(f, durationForm)
	return f
}

func timeForm(b []byte, t *metav1.Time) ([]byte, error) {
	if t.IsZero() {
		return append(b, record.None), nil
	}
	return stamp(b, t.UTC(), time.RFC3339), nil
}

func microTimeForm(b []byte, t *metav1.MicroTime) ([]byte, error) {
	if t.IsZero() {
		return append(b, record.None), nil
	}
	return stamp(b, t.UTC(), metav1.RFC3339Micro), nil
}

func stamp(b []byte, t time.Time, layout string) []byte {
	b = append(b, record.String, 0) // a time is shorter than what takes two bytes to count
	at := len(b)
	b = t.AppendFormat(b, layout)
	b[at-1] = byte(len(b) - at)
	return b
}

// quantityForm must not call String, which writes to the quantity.
func quantityForm(b []byte, q *resource.Quantity) ([]byte, error) {
	var buf [32]byte
	number, suffix := q.CanonicalizeBytes(buf[:0])
	if len(number)+len(suffix) >= 0x80 {
		return record.AppendString(b, string(number)+string(suffix)), nil
	}
	b = append(b, record.String, byte(len(number)+len(suffix)))
	return append(append(b, number...), suffix...), nil
}

func intOrStringForm(b []byte, v *intstr.IntOrString) ([]byte, error) {
	if v.Type == intstr.String {
		return record.AppendString(b, v.StrVal), nil
	}
	return record.AppendInt(b, int64(v.IntVal)), nil
}

func durationForm(b []byte, d *metav1.Duration) ([]byte, error) {
	return record.AppendString(b, d.Duration.String()), nil
}
