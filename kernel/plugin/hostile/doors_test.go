package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/sdk/wire"
)

var secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// untouched is a registry that nobody may reach.
type untouched struct{ touched atomic.Int32 }

var errTouched = errors.New("the registry was reached")

func (u *untouched) hit() error { u.touched.Add(1); return errTouched }

func (u *untouched) Get(context.Context, registry.Target, metav1.GetOptions) (*watch.Object, error) {
	return nil, u.hit()
}
func (u *untouched) GetProjection(context.Context, registry.Target, metav1.GetOptions) (runtime.Object, error) {
	return nil, u.hit()
}
func (u *untouched) List(context.Context, registry.Target, metav1.ListOptions) (*registry.List, error) {
	return nil, u.hit()
}
func (u *untouched) Watch(context.Context, registry.Target, metav1.ListOptions) (registry.Watcher, error) {
	return nil, u.hit()
}
func (u *untouched) Create(context.Context, registry.Target, runtime.Object, registry.WriteOptions) (*registry.Result, error) {
	return nil, u.hit()
}
func (u *untouched) Update(context.Context, registry.Target, runtime.Object, registry.WriteOptions) (*registry.Result, error) {
	return nil, u.hit()
}
func (u *untouched) Patch(context.Context, registry.Target, types.PatchType, []byte, registry.WriteOptions) (*registry.Result, error) {
	return nil, u.hit()
}
func (u *untouched) Delete(context.Context, registry.Target, metav1.DeleteOptions) (*registry.Result, error) {
	return nil, u.hit()
}
func (u *untouched) DeleteCollection(context.Context, registry.Target, metav1.DeleteOptions, metav1.ListOptions) (*registry.List, error) {
	return nil, u.hit()
}
func (u *untouched) Batch(_ context.Context, items []registry.BatchItem, _ bool) ([]registry.BatchResult, error) {
	if len(items) == 0 {
		return nil, nil // every item was refused by itself
	}
	return nil, u.hit()
}

// owned is reached by lists by owner.
type owned struct{ u *untouched }

func (o owned) List(context.Context, schema.GroupResource, string, wire.Owner, int64) ([]*watch.Object, error) {
	return nil, o.u.hit()
}

func refuseAll(verb string, t registry.Target) error {
	return wire.Errorf(wire.KindForbidden, "may not %s %s", verb, t.Resource.Resource)
}

// TestDoors lists the ways from a plugin to objects. Each is closed to a plugin
// without permissions before anything is read or written. A host operation that
// is not in the list must not be known to the kernel: whoever adds one adds it
// here.
func TestDoors(t *testing.T) {
	table, err := kinds.Table(kinds.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(`{"metadata":{"namespace":"default","name":"loot"}}`)
	write := func(verb string) wire.WriteRequest {
		return wire.WriteRequest{Verb: verb, Resource: "v1/secrets", Object: secret}
	}
	del := wire.DeleteRequest{Resource: "v1/secrets", Namespace: "default", Name: "loot", Grace: -1}
	doors := map[wire.HostOp]map[string][]byte{
		wire.HostGet: {"get": wire.GetRequest{Resource: "v1/secrets", Namespace: "default", Name: "loot"}.Append(nil)},
		wire.HostList: {
			"list":          wire.ListRequest{Resource: "v1/secrets"}.Append(nil),
			"list by owner": wire.ListRequest{Resource: "v1/secrets", Owner: wire.Owner{Kind: wire.OwnerUID, UID: "u"}}.Append(nil),
			"list orphans":  wire.ListRequest{Resource: "v1/secrets", Owner: wire.Owner{Kind: wire.NoController}}.Append(nil),
		},
		wire.HostWrite:  {"create": write("create").Append(nil), "update": write("update").Append(nil), "apply": write("apply").Append(nil)},
		wire.HostPatch:  {"patch": wire.PatchRequest{Resource: "v1/secrets", Namespace: "default", Name: "loot", Type: string(types.MergePatchType), Data: []byte("{}")}.Append(nil)},
		wire.HostDelete: {"delete": del.Append(nil)},
		wire.HostBatch: {
			"atomic batch":    wire.BatchRequest{Atomic: true, Items: []wire.BatchItem{{Write: write("create")}}}.Append(nil),
			"atomic deletion": wire.BatchRequest{Atomic: true, Items: []wire.BatchItem{{Write: wire.WriteRequest{Verb: "delete"}, Delete: del}}}.Append(nil),
			"batch":           wire.BatchRequest{Items: []wire.BatchItem{{Write: write("update")}, {Write: wire.WriteRequest{Verb: "delete"}, Delete: del}}}.Append(nil),
		},
		wire.HostSubresource: {"scale": wire.SubresourceRequest{Resource: "v1/secrets", Namespace: "default", Name: "loot", Subresource: "scale"}.Append(nil)},
		wire.HostFetch:       {"fetch": wire.FetchRequest{Resource: "metrics.k8s.io/v1beta1/nodes"}.Append(nil)},
		wire.HostEvent:       {"event": wire.EventRequest{Resource: "v1/secrets", Namespace: "default", Name: "loot", Reason: "Read"}.Append(nil)},
	}
	for op := range wire.HostOp(255) {
		if op == wire.HostResource {
			continue // what discovery tells everybody, and no object
		}
		if doors[op] == nil {
			u := &untouched{}
			_, err := closed(table, u, nil).Call(t.Context(), op, nil)
			if !errors.Is(err, wire.ErrUnsupported) || u.touched.Load() > 0 {
				t.Errorf("host operation %d is served and not in this list: %v", op, err)
			}
			continue
		}
		for name, req := range doors[op] {
			t.Run(name, func(t *testing.T) {
				u := &untouched{}
				for who, c := range map[string]*hostclient.Client{"a controller": closed(table, u, nil), "a policy": closed(table, u, latest{u})} {
					resp, err := c.Call(t.Context(), op, req)
					if name == "batch" && who == "a controller" {
						err = eachRefused(resp, err)
					}
					if !errors.Is(err, wire.ErrForbidden) {
						t.Errorf("%s is answered %v, want Forbidden", who, err)
					}
				}
				if n := u.touched.Load(); n > 0 {
					t.Errorf("the registry was reached %d times", n)
				}
			})
		}
	}
	t.Run("watch", func(t *testing.T) { testWatchDoor(t, table) })
}

// eachRefused is the refusal that all items of a batch were answered with.
func eachRefused(resp []byte, err error) error {
	if err != nil {
		return err
	}
	r := wire.NewReader(resp)
	for range r.Count(1) {
		item := wire.NewReader(r.Bytes())
		if item.Byte() == 0 {
			return errors.New("an item was done")
		}
		err = item.Error()
	}
	return errors.Join(r.Err(), err)
}

// latest is what a policy reads.
type latest struct{ u *untouched }

func (l latest) Latest(context.Context, registry.Target) (*watch.Object, error) {
	return nil, l.u.hit()
}

func (l latest) LatestAll(context.Context, registry.Target) ([]*watch.Object, error) {
	return nil, l.u.hit()
}

// closed is the client of a plugin that may do nothing.
func closed(table *resource.Table, u *untouched, latest hostclient.Latest) *hostclient.Client {
	return hostclient.New(&hostclient.Config{Plugin: "spy", Registry: u, Catalog: resource.NewCatalog(table), Codec: resource.NewCodec(resource.NewCatalog(table)),
		Owned: owned{u}, Allow: refuseAll, Observed: &hostclient.Observed{}, Latest: latest})
}

// liar is an instance whose manifest is not that of the plugin that was loaded.
type liar struct{ plugin.Instance }

func (liar) Manifest() wire.Manifest {
	m := wire.Manifest{}
	for kind := range uint8(16) {
		m.Watches = append(m.Watches, wire.Watch{Resource: "v1/secrets", Map: kind, Arg: "metadata.name"})
	}
	return m
}
func (liar) Memory() int64 { return 0 }
func (liar) Close() error  { return nil }

// testWatchDoor: what an instance says that it watches is followed only when it
// may be both listed and watched.
func testWatchDoor(t *testing.T, table *resource.Table) {
	for _, missing := range []string{"list", "watch"} {
		u := &untouched{}
		m, err := reconcile.New(reconcile.Config{Registry: u, Catalog: resource.NewCatalog(table), Codec: resource.NewCodec(resource.NewCatalog(table))})
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan string, 1024)
		err = m.Set("spy", reconcile.Controller{Registry: u,
			Open: func(context.Context, reconcile.HostCall) (plugin.Instance, error) { return liar{}, nil },
			Allow: func(verb string, x registry.Target) error {
				asked <- verb
				if verb == missing {
					return refuseAll(verb, x)
				}
				return nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		for range 16 { // once for each watch, before any is followed
			for verb := ""; verb != missing; {
				select {
				case verb = <-asked:
				case <-time.After(patience):
					t.Fatal("a watch is followed without asking")
				}
			}
		}
		m.Remove("spy")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := u.touched.Load(); n > 0 {
			t.Errorf("without the right to %s the registry was reached %d times", missing, n)
		}
	}
}

func rules(list ...string) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, s := range list {
		verbs, resource, _ := strings.Cut(s, ":")
		out = append(out, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, Verbs: strings.Split(verbs, ",")})
	}
	return out
}

// guest is another plugin of package guests, with permissions like "get,list:pods".
func (s *server) guest(t testing.TB, name string, permissions ...string) v1alpha1.PluginSpec {
	t.Helper()
	return v1alpha1.PluginSpec{Plugin: name, Host: v1alpha1.HostWASM, Digest: s.upload(t, build(t, v1alpha1.HostWASM, "guests")), Permissions: rules(permissions...)}
}

// TestSecretsStaySecret: plugins that may not read Secrets do not, by any point.
func TestSecretsStaySecret(t *testing.T) {
	beside(t)
	s := start(t)
	s.create(t, secretResource, "bystander", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "bystander", Name: guests.SecretName},
		Data: map[string][]byte{guests.SecretKey: {1, 2, 3}}})
	stolen := func() (out []string) {
		l, err := s.as(admin).List(s.ctx, target(configMapResource, guests.Namespace, ""), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range l.Items {
			if strings.HasPrefix(o.Name, guests.StolenName) {
				out = append(out, o.Name)
			}
		}
		return out
	}
	t.Run("watch", func(t *testing.T) {
		s.load(t, "spy", s.guest(t, "spy", "list,watch,create:configmaps"))
		s.phase(t, "spy", v1alpha1.Failed)
		s.says(t, "spy", `it watches v1/secrets: .*plugin spy may not list secrets.*spec.permissions`)
		s.neighbourAnswers(t)
		if names := stolen(); len(names) > 0 {
			t.Errorf("a plugin without the right to Secrets made %q of them", names)
		}
		// With the right it is what it is: an operator's decision.
		s.change(t, "spy", func(p *v1alpha1.Plugin) {
			p.Spec.Permissions = append(p.Spec.Permissions, rules("list,watch:secrets")...)
		})
		s.phase(t, "spy", v1alpha1.Ready, v1alpha1.Degraded)
		await(t, "the spy with the right to Secrets finds one", func() bool { return len(stolen()) > 0 })
		s.remove(t, "spy")
	})
	t.Run("await", func(t *testing.T) {
		s.load(t, "waiter", s.guest(t, "waiter"))
		s.phase(t, "waiter", v1alpha1.Ready)
		begin := time.Now()
		_, err := s.createPod(guests.Namespace, "oracle")
		if err == nil || !strings.Contains(err.Error(), "plugin waiter may not get secrets") {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		s.change(t, "waiter", func(p *v1alpha1.Plugin) { p.Spec.Permissions = rules("get:secrets") })
		await(t, "with the right it may wait", func() bool {
			_, err := s.createPod(guests.Namespace, fmt.Sprintf("oracle-%d", number.Add(1)))
			return err == nil
		})
		s.remove(t, "waiter")
	})
	s.peaceful(t)
}
