package kerneltest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/lease"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/watch"
	_ "github.com/pintle-io/pintle/plugins/controllers/replicaset"
	"github.com/pintle-io/pintle/plugins/kinds"
	_ "github.com/pintle-io/pintle/plugins/scheduling"
)

// link is a server's way to etcd, which may be cut. It counts what the server tries
// to write.
type link struct {
	store.Store
	cut breaker

	mu     sync.Mutex
	writes map[string]int // by key; guarded by mu
}

// breaker is whether a link is cut; what is under way ends when it is.
type breaker struct {
	mu   sync.Mutex
	open chan struct{} // closed while the link is cut; guarded by mu
}

// ends is closed when the link is cut.
func (b *breaker) ends() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = make(chan struct{})
	}
	return b.open
}

func (b *breaker) Load() bool {
	select {
	case <-b.ends():
		return true
	default:
		return false
	}
}

func (b *breaker) Store(cut bool) {
	ends, was := b.ends(), b.Load()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case cut && !was:
		close(ends)
	case !cut && was:
		b.open = nil
	}
}

func (l *link) err() error {
	if l.cut.Load() {
		return fmt.Errorf("%w: cut", store.ErrUnavailable)
	}
	return nil
}

// written is how often the server tried to write a key.
func (l *link) written(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes[key]
}

// keys is how many keys below a prefix the server tried to write.
func (l *link) keys(prefix string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.writes {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

func (l *link) note(ops []store.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes == nil {
		l.writes = map[string]int{}
	}
	for _, op := range ops {
		l.writes[op.Key]++
	}
}

// cutWatcher is a watch that ends when the link is cut.
type cutWatcher struct {
	out chan store.Batch
	err error // set before out is closed
}

func (w *cutWatcher) Batches() <-chan store.Batch { return w.out }
func (w *cutWatcher) Err() error                  { return w.err }

func (l *link) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	ctx, cancel := context.WithCancel(ctx)
	inner, ends := l.Store.Watch(ctx, prefix, after), l.cut.ends()
	w := &cutWatcher{out: make(chan store.Batch)}
	go func() {
		defer close(w.out)
		defer cancel()
		for {
			select {
			case <-ends:
				w.err = fmt.Errorf("%w: cut", store.ErrUnavailable)
				return
			case b, ok := <-inner.Batches():
				if !ok {
					w.err = inner.Err()
					return
				}
				select {
				case w.out <- b:
				case <-ends:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return w
}

func (l *link) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	if err := l.err(); err != nil {
		return 0, err
	}
	l.note(ops)
	return l.Store.Commit(ctx, ops)
}

func (l *link) Get(ctx context.Context, key string) (store.KV, bool, int64, error) {
	if err := l.err(); err != nil {
		return store.KV{}, false, 0, err
	}
	return l.Store.Get(ctx, key)
}

func (l *link) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	if err := l.err(); err != nil {
		return nil, false, 0, err
	}
	return l.Store.List(ctx, prefix, o)
}

func (l *link) Revision(ctx context.Context) (int64, error) {
	if err := l.err(); err != nil {
		return 0, err
	}
	return l.Store.Revision(ctx)
}

// etcd is a member that several servers use.
func etcd(t *testing.T) (dial func() *link) {
	t.Helper()
	dir := t.TempDir()
	endpoint := "unix://" + filepath.Join(dir, "client.sock")
	e, err := embed.Start(t.Context(), embed.Config{Dir: dir, UnsafeNoFsync: true, ClientURLs: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return func() *link {
		s, err := store.Dial(t.Context(), store.DialConfig{Endpoints: []string{endpoint}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return &link{Store: s}
	}
}

// serverToken makes a token by which the servers of a test have the same keys.
func serverToken(t *testing.T) func() (string, error) {
	t.Helper()
	tok, err := jointoken.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	return func() (string, error) { return tok.Format(), nil }
}

// server starts one of several, by the token of the cluster.
func server(t *testing.T, s store.Store, token func() (string, error)) *kerneltest.Server {
	t.Helper()
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	return kerneltest.Start(t, kerneltest.Options{Table: table, Store: s, Lease: lease.Times{Duration: 4 * time.Second, RenewDeadline: 2 * time.Second, RetryEvery: 500 * time.Millisecond},
		Config: func(c *kernel.Config) {
			c.ServerToken = token
			c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
			every := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
			c.Builtins = []plugin.Builtin{
				{Name: "scheduling", Spec: v1alpha1.PluginSpec{Plugin: "scheduling", Host: v1alpha1.HostNative}},
				{Name: "replicaset", Account: "replicaset-controller", Spec: v1alpha1.PluginSpec{Plugin: "replicaset", Host: v1alpha1.HostNative, Permissions: []rbacv1.PolicyRule{
					{APIGroups: []string{"apps"}, Resources: []string{"replicasets", "replicasets/status"}, Verbs: every},
					{APIGroups: []string{""}, Resources: []string{"pods", "events"}, Verbs: every},
				}}},
			}
		}})
}

var (
	pods    = registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: "default"}
	leaders = registry.Target{Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: "kube-system", Name: "pintle-leader"}
)

func holder(t *testing.T, s *kerneltest.Server) string {
	t.Helper()
	o, err := s.Registry.Get(t.Context(), leaders, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	if h := o.Obj.(*coordinationv1.Lease).Spec.HolderIdentity; h != nil {
		return *h
	}
	return ""
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("%s: not within a minute", what)
}

func addPods(t *testing.T, s *kerneltest.Server, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p-", i), Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		if _, err := s.Registry.Create(t.Context(), pods, p, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// bindings is what a watch tells of where pods were put.
type bindings struct {
	node  map[string]string
	twice []string
}

// watchBindings reads until n pods are bound.
func watchBindings(t *testing.T, s *kerneltest.Server, n int) <-chan bindings {
	t.Helper()
	w, err := s.Registry.Watch(t.Context(), pods, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan bindings, 1)
	go func() {
		defer w.Stop()
		b := bindings{node: map[string]string{}}
		for e := range w.Events() {
			if e.Type == watch.Bookmark || e.Object == nil {
				continue
			}
			p := e.Object.Obj.(*corev1.Pod)
			if was := b.node[p.Name]; was != "" && was != p.Spec.NodeName {
				b.twice = append(b.twice, p.Name)
			}
			if p.Spec.NodeName != "" {
				b.node[p.Name] = p.Spec.NodeName
			}
			if len(b.node) == n {
				break
			}
		}
		out <- b
	}()
	return out
}

func list(t *testing.T, s *kerneltest.Server) map[string]string {
	t.Helper()
	l, err := s.Registry.List(t.Context(), pods, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range l.Items {
		out[o.Name] = fmt.Sprint(o.Obj.(*corev1.Pod).Spec.NodeName, "@", o.Revision)
	}
	return out
}

// aggregated makes an aggregated role, by one request through the server that does
// not lead, and waits until it is filled in: by the one that leads alone.
func aggregated(t *testing.T, follower *kerneltest.Server, name string, leads, follows *link) {
	t.Helper()
	roles := registry.Target{Resource: rbacv1.SchemeGroupVersion.WithResource("clusterroles")}
	labels := map[string]string{"aggregates-to": name}
	part := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name + "-part", Labels: labels},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}
	whole := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: labels}}}}
	for _, r := range []*rbacv1.ClusterRole{part, whole} {
		if _, err := follower.Registry.Create(t.Context(), roles, r, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "an aggregated role", func() bool {
		at := roles
		at.Name = name
		o, err := follower.Registry.Get(t.Context(), at, metav1.GetOptions{})
		return err == nil && len(o.Obj.(*rbacv1.ClusterRole).Rules) == 1
	})
	key := "/registry/clusterroles/" + name
	if l, f := leads.written(key), follows.written(key); l == 0 || f != 1 {
		t.Errorf("role %s was written %d times by the server that leads, %d times by the other, through which it was made", name, l, f)
	}
}

// controlled has a controller make pods, for a set that is made by a request
// through the server that does not lead, and waits until it is done: by the one
// that leads alone, and once.
func controlled(t *testing.T, follower *kerneltest.Server, name string, leads, follows *link) {
	t.Helper()
	const replicas = 5
	namespaces := registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("namespaces")}
	sets := registry.Target{Resource: appsv1.SchemeGroupVersion.WithResource("replicasets"), Namespace: name}
	labels := map[string]string{"set": name}
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: name}, Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To[int32](replicas), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}}
	if _, err := follower.Registry.Create(t.Context(), namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := follower.Registry.Create(t.Context(), sets, set, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the set's controller has seen its pods", func() bool {
		at := sets
		at.Name = name
		o, err := follower.Registry.Get(t.Context(), at, metav1.GetOptions{})
		return err == nil && o.Obj.(*appsv1.ReplicaSet).Status.Replicas == replicas
	})
	key := "/registry/pods/" + name + "/"
	if l, f := leads.keys(key), follows.keys(key); l != replicas || f != 0 {
		t.Errorf("of the %d pods of set %s, the server that leads wrote %d, the other %d", replicas, name, l, f)
	}
	key = "/registry/replicasets/" + name + "/" + name
	if f := follows.written(key); f != 1 {
		t.Errorf("set %s was written %d times by the server through which it was made", name, f)
	}
}

// signed has a certificate signed that was asked for and approved through the
// server that does not lead: by the one that leads alone, and once.
func signed(t *testing.T, follower *kerneltest.Server, name string, leads, follows *link) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	requests := registry.Target{Resource: certificatesv1.SchemeGroupVersion.WithResource("certificatesigningrequests")}
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: certificatesv1.KubeAPIServerClientSignerName,
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}}}
	made, err := follower.Registry.Create(t.Context(), requests, csr, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	approved := made.Object.Obj.(*certificatesv1.CertificateSigningRequest).DeepCopy()
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
	at := requests
	at.Name, at.Subresource = name, "approval"
	if _, err := follower.Registry.Update(t.Context(), at, approved, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	at.Subresource = ""
	eventually(t, "a certificate", func() bool {
		o, err := follower.Registry.Get(t.Context(), at, metav1.GetOptions{})
		return err == nil && len(o.Obj.(*certificatesv1.CertificateSigningRequest).Status.Certificate) > 0
	})
	stored := "/registry/certificatesigningrequests/" + name
	if l, f := leads.written(stored), follows.written(stored); l != 1 || f != 2 {
		t.Errorf("request %s was written %d times by the server that leads, want once; %d times by the other, through which it was made and approved", name, l, f)
	}
}

// TestTwoServers: both serve, one leads; the one that leads is cut off from etcd
// in the middle of its work, as if it had been killed, and the other goes on with
// it. No pod is bound twice, nothing is aggregated, made by a controller or signed
// by two, and both tell the same.
func TestTwoServers(t *testing.T) {
	token, dial := serverToken(t), etcd(t)
	cut := dial()
	a := server(t, cut, token)
	first := holder(t, a)
	other := dial()
	b := server(t, other, token)
	aggregated(t, b, "first", cut, other)
	controlled(t, b, "first", cut, other)
	signed(t, b, "first", cut, other)
	if got := holder(t, b); got != first {
		t.Errorf("the second server believes that %q leads, the first has it as %q", got, first)
	}
	for i := range 20 {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n-", i)}}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
		if _, err := b.Registry.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("nodes")}, n, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const each = 100
	told := watchBindings(t, b, 3*each)
	addPods(t, a, 0, each)      // through either of them
	addPods(t, b, each, 2*each) // bound by the first, until it is cut off
	cut.cut.Store(true)
	addPods(t, b, 2*each, 3*each)
	eventually(t, "another leader", func() bool { h := holder(t, b); return h != "" && h != first })
	all := <-told
	if len(all.twice) > 0 {
		t.Errorf("bound twice: %v", all.twice)
	}
	cut.cut.Store(false)
	eventually(t, "the same lists", func() bool {
		la, lb := list(t, a), list(t, b)
		if len(la) != 3*each || len(la) != len(lb) {
			return false
		}
		for name, at := range la {
			if lb[name] != at {
				return false
			}
		}
		return true
	})
	aggregated(t, a, "second", other, cut)
	controlled(t, a, "second", other, cut)
	signed(t, a, "second", other, cut)
	for i := 2 * each; i < 3*each; i++ {
		if n := cut.written(fmt.Sprint("/registry/pods/default/p-", i)); n > 0 {
			t.Errorf("the server that leads no longer tried to write pod p-%d, %d times", i, n)
		}
	}
	second := holder(t, b)
	b.Stop()
	eventually(t, "the first leads again", func() bool { h := holder(t, a); return h == first && h != second })
	told = watchBindings(t, a, 3*each+1)
	addPods(t, a, 3*each, 3*each+1)
	if got := <-told; len(got.twice) > 0 {
		t.Errorf("bound twice: %v", got.twice)
	}
}

// TestStartAfterAKill: the next process of a server does not wait for the lease
// of the one before.
func TestStartAfterAKill(t *testing.T) {
	dial := etcd(t)
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	times := lease.Times{Duration: time.Hour, RenewDeadline: 30 * time.Minute, RetryEvery: 10 * time.Minute}
	cut := dial()
	a := kerneltest.Start(t, kerneltest.Options{Table: table, Dir: dir, Store: cut, Lease: times})
	first := holder(t, a)
	cut.cut.Store(true) // it gives nothing back
	a.Stop()
	b := kerneltest.Start(t, kerneltest.Options{Table: table, Dir: dir, Store: dial(), Lease: times})
	if !b.Leads() {
		t.Error("it does not lead")
	}
	if got := holder(t, b); got != first {
		t.Errorf("the lease names %q, want %q", got, first)
	}
}

// TestEndpoints: Service kubernetes has the addresses of the servers that are
// there; one that starts again finds its Lease of before.
func TestEndpoints(t *testing.T) {
	token, dial := serverToken(t), etcd(t)
	table := func() kerneltest.Options {
		tab, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
		if err != nil {
			t.Fatal(err)
		}
		return kerneltest.Options{Table: tab}
	}
	start := func(dir, address string) *kerneltest.Server {
		o := table()
		o.Dir, o.Store = dir, dial()
		o.Config = func(c *kernel.Config) { c.Advertise, c.ServerToken = netip.MustParseAddrPort(address), token }
		return kerneltest.Start(t, o)
	}
	addresses := func(s *kerneltest.Server) string {
		o, err := s.Registry.Get(t.Context(), registry.Target{Resource: discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), Namespace: "default", Name: "kubernetes"}, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		out := ""
		for _, e := range o.Obj.(*discoveryv1.EndpointSlice).Endpoints {
			out += e.Addresses[0] + " "
		}
		return out
	}
	one, two := t.TempDir(), t.TempDir()
	a := start(one, "192.0.2.1:6443")
	if got, want := addresses(a), "192.0.2.1 "; got != want {
		t.Errorf("one server: %q, want %q", got, want)
	}
	b := start(two, "192.0.2.2:6443")
	if got, want := addresses(b), "192.0.2.1 192.0.2.2 "; got != want {
		t.Errorf("two servers: %q, want %q", got, want)
	}
	a.Stop()
	if got, want := addresses(b), "192.0.2.2 "; got != want {
		t.Errorf("the first has stopped: %q, want %q", got, want)
	}
	a = start(one, "192.0.2.1:6443")
	if got, want := addresses(a), "192.0.2.1 192.0.2.2 "; got != want {
		t.Errorf("the first is back: %q, want %q", got, want)
	}
}

// TestStartWithItsOwnEndpoint: a server that was killed finds the slice that names
// it, and renews the Lease by which it was an endpoint.
func TestStartWithItsOwnEndpoint(t *testing.T) {
	dial, dir := etcd(t), t.TempDir()
	renewed := func(s *kerneltest.Server) string {
		l, err := s.Registry.List(t.Context(), registry.Target{Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: "kube-system"},
			metav1.ListOptions{LabelSelector: "apiserver.kubernetes.io/identity"})
		if err != nil || len(l.Items) != 1 {
			t.Fatalf("leases of servers: %v, %v", l, err)
		}
		return l.Items[0].Obj.(*coordinationv1.Lease).Spec.RenewTime.String()
	}
	before := ""
	for range 2 {
		table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
		if err != nil {
			t.Fatal(err)
		}
		cut := dial()
		s := kerneltest.Start(t, kerneltest.Options{Table: table, Dir: dir, Store: cut,
			Config: func(c *kernel.Config) { c.Advertise = netip.MustParseAddrPort("192.0.2.1:6443") }})
		eventually(t, "the lease is renewed", func() bool { return renewed(s) != before })
		before = renewed(s)
		cut.cut.Store(true) // it takes nothing back
		s.Stop()
	}
}
