package remote_test

import (
	"testing"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

type setting struct {
	Data map[string]string `json:"data"`
}

func (*setting) APIResource() string { return "v1/configmaps" }

// A Reader remembers what it decoded, and never answers what is past.
func TestReader(t *testing.T) {
	now := map[string]string{"a/x": "1", "b/x": "2"}
	r := remote.NewReader(func(_ wire.HostOp, req []byte) ([]byte, error) {
		q := wire.NewReader(req).GetRequest()
		text, ok := now[q.Namespace+"/"+q.Name]
		if !ok {
			return nil, wire.Errorf(wire.KindNotFound, "%s", q.Name)
		}
		f, err := record.ParseFields(q.Only)
		if err != nil {
			return nil, err
		}
		return record.NewEncoder(nil).Plan(f).Append(nil, setting{Data: map[string]string{"text": text}})
	})
	check := func(namespace, want string) {
		t.Helper()
		s := setting{Data: map[string]string{"left": "over"}}
		if err := r.Get(&s, namespace, "x"); err != nil || len(s.Data) != 1 || s.Data["text"] != want {
			t.Errorf("%s: %v, %v; want %s", namespace, s.Data, err, want)
		}
	}
	check("a", "1")
	check("b", "2")
	check("a", "1")
	now["a/x"] = "3"
	check("a", "3")
	delete(now, "a/x")
	if err := r.Get(&setting{}, "a", "x"); !client.IsNotFound(err) {
		t.Errorf("a deleted object: %v", err)
	}
}
