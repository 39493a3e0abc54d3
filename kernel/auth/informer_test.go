package auth_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/watch"
)

// names are the objects that an informer has told of, and how it told them.
type names struct {
	mu    sync.Mutex
	have  map[string]bool // guarded by mu
	lists int             // guarded by mu
	log   bytes.Buffer    // guarded by mu
}

func (n *names) Replace(_ context.Context, l *registry.List) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists++
	n.have = map[string]bool{}
	for _, o := range l.Items {
		n.have[o.Name] = true
	}
}

func (n *names) Apply(_ context.Context, events []watch.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range events {
		if e.Type == watch.Deleted {
			delete(n.have, e.Prev.Name)
		} else {
			n.have[e.Object.Name] = true
		}
	}
}

// Write takes the informer's log.
func (n *names) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

// state is what was told of, and by how many lists.
func (n *names) state() (string, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(n.have)), " "), n.lists
}

// refused waits until the log says that a verb is forbidden, and forgets it.
func (n *names) refused(t *testing.T, verb string) {
	t.Helper()
	registrytest.Eventually(t, "the log says that "+verb+" is forbidden", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return strings.Contains(n.log.String(), `cannot `+verb+` resource`)
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log.Reset()
}

// TestInformerIsRefused: a component whose right to watch, and then to list, is
// taken away and given back: it says so, is told of nothing meanwhile, and of
// everything after, without a list where a watch could be resumed.
func TestInformerIsRefused(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{Follows: true})
	roles := registry.Target{Resource: rbacv1.SchemeGroupVersion.WithResource("clusterroles"), Name: "reader"}
	allow := func(verbs ...string) {
		t.Helper()
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}
		if len(verbs) > 0 {
			r.Rules = []rbacv1.PolicyRule{{Verbs: verbs, APIGroups: []string{""}, Resources: []string{"configmaps"}}}
		}
		if _, err := c.Registry.Update(t.Context(), roles, r, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	add := func(name string) {
		t.Helper()
		target := registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: "default"}
		if _, err := c.Registry.Create(t.Context(), target, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create(t, c.Registry, roles.Resource, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}})
	create(t, c.Registry, rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "component"}}})
	add("a")

	n := &names{}
	i := informer.New(informer.Config{Name: "component", Registry: c.Access().As(&user.DefaultInfo{Name: "component"}), Handler: n,
		Target: registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: "default"},
		Log:    slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	registrytest.Run(t, "informer", func(ctx context.Context) error { i.Run(ctx); return nil })
	wants := func(what, names string, lists int) {
		t.Helper()
		registrytest.Eventually(t, what, func() bool { have, _ := n.state(); return have == names })
		if _, got := n.state(); got != lists {
			t.Errorf("%s: by %d lists, want %d", what, got, lists)
		}
	}
	n.refused(t, "watch")
	wants("what it may list", "a", 1)
	add("b")
	n.refused(t, "watch")
	wants("a refused watch tells nothing", "a", 1)
	allow("list", "watch")
	wants("a watch that is allowed again is resumed", "a b", 1)

	allow()
	i.Refresh()
	n.refused(t, "list")
	add("c")
	n.refused(t, "list")
	wants("a refused list tells nothing", "a b", 1)
	allow("list", "watch")
	wants("a list that is allowed again", "a b c", 2)
	add("d")
	wants("and a watch behind it", "a b c d", 2)
}
