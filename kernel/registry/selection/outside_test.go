package selection

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/watch"
)

// outsider says of pods on which node they are, and counts how often it is asked.
type outsider struct {
	*runtime.Scheme
	asked int
	err   error
}

func (*outsider) Defers() bool { return true }

func (*outsider) ConvertAll(context.Context, []runtime.Object, schema.GroupVersion) ([]runtime.Object, error) {
	return nil, errors.New("nobody asks for that")
}

func (x *outsider) FieldsIn(_ context.Context, in []runtime.Object, _ schema.GroupVersion) (out []fields.Set, err error) {
	x.asked++
	for _, obj := range in {
		out = append(out, fields.Set{"spec.nodeName": obj.(*corev1.Pod).Spec.NodeName})
	}
	return out, x.err
}

func onNode(t *testing.T, x *outsider) *Outside {
	t.Helper()
	k := pods(t)
	k.Types = x
	rest, outside := Split(k, corev1.SchemeGroupVersion, metav1.ListOptions{FieldSelector: "metadata.name=p,spec.nodeName=a", Limit: 3})
	if outside == nil || rest.FieldSelector != "metadata.name=p" || rest.Limit != 0 {
		t.Fatalf("%+v, %v", rest, outside)
	}
	return outside
}

// TestOutsideEvents: a watch sees an object come into its view, change there and leave
// it, by what outsiders say of it before and after. Who has just come into the view of
// the rest of the selector was not seen before, whatever it was.
func TestOutsideEvents(t *testing.T) {
	on := func(node string) *watch.Object { return pod("ns", "p", node, "") }
	for _, tc := range []struct {
		name      string
		kind      watch.Type
		prev, now string // nodes; "": none
		want      string
	}{
		{"created there", watch.Added, "", "a", "ADDED a"},
		{"created elsewhere", watch.Added, "", "b", ""},
		{"came by the rest of the selector, and was there", watch.Added, "a", "a", "ADDED a"},
		{"came by the rest of the selector, and was there before", watch.Added, "a", "b", ""},
		{"changed there", watch.Modified, "a", "a", "MODIFIED a"},
		{"changed elsewhere", watch.Modified, "b", "b", ""},
		{"came", watch.Modified, "b", "a", "ADDED a"},
		{"left", watch.Modified, "a", "b", "DELETED a"},
		{"deleted there", watch.Deleted, "a", "a", "DELETED a"},
		{"deleted elsewhere", watch.Deleted, "b", "b", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := watch.Event{Type: tc.kind, Revision: 9, Object: on(tc.now)}
			if tc.prev != "" {
				e.Prev = on(tc.prev)
			}
			x := &outsider{}
			got, err := onNode(t, x).Events(t.Context(), []watch.Event{{Type: watch.Bookmark, Revision: 8}, e})
			if err != nil || len(got) == 0 || got[0].Type != watch.Bookmark || x.asked != 1 {
				t.Fatalf("%v, %v; asked %d times", got, err, x.asked)
			}
			var seen []string
			for _, e := range got[1:] {
				seen = append(seen, e.Type.String()+" "+e.Object.Obj.(*corev1.Pod).Spec.NodeName)
			}
			if s := strings.Join(seen, ", "); s != tc.want {
				t.Errorf("sees %q, want %q", s, tc.want)
			}
		})
	}
}

// TestOutsideItems: of a list those are left that outsiders choose, in their order; what
// they cannot say is no empty list.
func TestOutsideItems(t *testing.T) {
	x := &outsider{}
	items := []*watch.Object{pod("ns", "a", "a", ""), pod("ns", "b", "b", ""), pod("ns", "c", "a", "")}
	got, err := onNode(t, x).Items(t.Context(), items)
	if err != nil || !slices.Equal(got, []*watch.Object{items[0], items[2]}) {
		t.Errorf("%v, %v", got, err)
	}
	x.err = errors.New("out of order")
	if got, err := onNode(t, x).Items(t.Context(), items); !errors.Is(err, x.err) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := onNode(t, x).Events(t.Context(), []watch.Event{{Type: watch.Added, Object: items[0]}}); !errors.Is(err, x.err) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}
