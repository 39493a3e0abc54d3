package garbage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
)

// cluster is a store whose kinds are known, or not yet: owners are looked for by kind.
type cluster struct {
	client.Client
	unknown bool
	failing error
}

func (c *cluster) Get(obj client.Object, namespace, name string) error {
	switch {
	case c.failing != nil:
		return c.failing
	case c.unknown:
		return wire.Errorf(wire.KindUnsupported, "no kind %s", obj.APIResource())
	}
	return c.Client.Get(obj, namespace, name)
}

// thing is an object of any kind.
type thing struct {
	Resource string `json:"-"`
	Metadata any    `json:"metadata"`
}

func (o *thing) APIResource() string { return o.Resource }

// TestRequeue: an owner of a kind that nobody has defined is looked for again as long as
// somebody has it; what is known is not.
func TestRequeue(t *testing.T) {
	type m = map[string]any
	child := func() client.Object {
		return &thing{"v1/configmaps", m{"namespace": "ns", "name": "child", "ownerReferences": []any{m{"apiVersion": "example.com/v1", "kind": "Owner", "name": "o", "uid": "u1", "controller": true}}}}
	}
	for _, tc := range []struct {
		name    string
		mode    string
		unknown bool
		failing error
		objects []client.Object
		again   time.Duration
		left    bool
		err     bool
	}{
		{"the kind is not known", modeCheck, true, nil, []client.Object{child()}, patience, true, false},
		{"the kind is not known, and nobody has the owner", modeCheck, true, nil, nil, 0, false, false},
		{"the kind is not known, and the owner was seen to go", modeGone, true, nil, []client.Object{child()}, 0, false, false},
		{"the owner is not there", modeCheck, false, nil, []client.Object{child()}, 0, false, false},
		{"nobody can say", modeCheck, false, wire.Errorf(wire.KindUnavailable, "not now"), []client.Object{child()}, 0, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sdktest.NewStore(tc.objects...)
			if err != nil {
				t.Fatal(err)
			}
			c := &cluster{s.Client(), tc.unknown, tc.failing}
			got, err := (&collector{now: time.Now}).reconcile(c, subject{tc.mode, "example.com/v1", "Owner", "u1", "o"}.request("ns"))
			if (err != nil) != tc.err || got.RequeueAfter != tc.again {
				t.Errorf("%+v, %v; want again after %s", got, err, tc.again)
			}
			if left := slices.Contains(s.Keys(), "v1/configmaps/ns/child"); left != tc.left {
				t.Errorf("left: %s", fmt.Sprint(s.Keys()))
			}
		})
	}
}

// configMaps is a store in which every kind is that of ConfigMaps.
type configMaps struct{ client.Client }

func (c configMaps) Get(obj client.Object, namespace, name string) error {
	obj.(*object).Resource = "v1/configmaps"
	return c.Client.Get(obj, namespace, name)
}

// TestEachByItsOwnReferences: who names an owner wrongly takes none of those along that
// name it rightly, whoever of them is looked at.
func TestEachByItsOwnReferences(t *testing.T) {
	type m = map[string]any
	child := func(name, owner, uid string) client.Object {
		return &thing{"v1/configmaps", m{"namespace": "ns", "name": name, "uid": name, "ownerReferences": []any{m{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "controller": true}}}}
	}
	for _, tc := range []struct {
		name string
		look subject
		left []string
	}{
		{"another name", subject{modeCheck, "v1", "ConfigMap", "u1", "someone"}, []string{"good", "o"}},
		{"as it is", subject{modeCheck, "v1", "ConfigMap", "u1", "o"}, []string{"good", "misnamed", "o"}},
		{"told to be gone", subject{modeGone, "v1", "ConfigMap", "u1", "o"}, []string{"good", "o"}},
		{"really gone", subject{modeGone, "v1", "ConfigMap", "u2", "before"}, []string{"good", "misnamed", "o"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sdktest.NewStore(&thing{"v1/configmaps", m{"namespace": "ns", "name": "o", "uid": "u1"}}, child("good", "o", "u1"), child("misnamed", "someone", "u1"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (&collector{now: time.Now}).reconcile(configMaps{s.Client()}, tc.look.request("ns")); err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, k := range s.Keys() {
				left = append(left, k[len("v1/configmaps/ns/"):])
			}
			if !slices.Equal(left, tc.left) {
				t.Errorf("left %v, want %v", left, tc.left)
			}
		})
	}
}

// TestSearchBudget: searches for events come in bursts, and come back with time.
func TestSearchBudget(t *testing.T) {
	var b searchBudget
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	taken := func() (n int) {
		for range 2 * searches {
			if b.take(now) {
				n++
			}
		}
		return n
	}
	if n := taken(); n != searches {
		t.Errorf("%d at once, want %d", n, searches)
	}
	now = now.Add(3 * searchEvery)
	if n := taken(); n != 3 {
		t.Errorf("%d a while later, want 3", n)
	}
	now = now.Add(time.Hour)
	if n := taken(); n != searches {
		t.Errorf("%d an hour later, want %d", n, searches)
	}
}
