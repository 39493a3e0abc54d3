package kerneltest_test

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/sdk"
	sdkadmission "github.com/pintle-io/pintle/sdk/admission"
)

// asked are the policies that were asked about each Service, in order.
var asked struct {
	sync.Mutex
	about map[string][]string // by name of the Service
}

func init() {
	asked.about = map[string][]string{}
	for _, name := range []string{"order-a", "order-m", "order-z"} {
		sdk.Register(sdk.Plugin{Name: name, New: func([]byte) (sdk.Points, error) {
			return &sdkadmission.Points{Match: []sdkadmission.MatchRule{{Resources: []string{"v1/services"}}}, Validate: func(r *sdkadmission.Review) error {
				asked.Lock()
				defer asked.Unlock()
				asked.about[r.Name] = append(asked.about[r.Name], name)
				return nil
			}}, nil
		}})
	}
}

// putOrder puts an order into a Plugin as it is stored, which no client could.
func putOrder(t *testing.T, s store.Store, name string, order int) {
	t.Helper()
	key := "/registry/" + v1alpha1.Group + "/plugins/" + name
	kv, ok, _, err := s.Get(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("%s: %v, %v", key, ok, err)
	}
	value := bytes.Replace(kv.Value, []byte(`"spec":{`), fmt.Appendf(nil, `"spec":{"order":%d,`, order), 1)
	if bytes.Equal(value, kv.Value) {
		t.Fatalf("%s is stored as %s", name, kv.Value)
	}
	if _, err := s.Commit(t.Context(), []store.Op{{Key: key, Value: value, Expect: kv.ModRevision}}); err != nil {
		t.Fatal(err)
	}
}

// TestOrderOfPolicies: a server finds a policy in its store whose order is from
// before there was a range, the lowest there can be. It is asked among the first
// of the policies, and never before the server's own rules: what those refuse no
// policy sees.
func TestOrderOfPolicies(t *testing.T) {
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s, dir := memory.New(), t.TempDir()
	start := func() *kerneltest.Server {
		return kerneltest.Start(t, kerneltest.Options{Table: table, Store: s, Dir: dir, Config: func(c *kernel.Config) {
			c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
			c.Advertise = netip.MustParseAddrPort("192.0.2.1:6443")
		}})
	}
	first := start()
	for _, name := range []string{"order-m", "order-z", "order-a"} {
		load(t, first, name, v1alpha1.Enforce)
	}
	first.Stop()
	putOrder(t, s, "order-z", admission.MinPolicyOrder)
	putOrder(t, s, "order-a", math.MinInt32)

	c := start()
	for _, tc := range []struct {
		name, namespace string
		externalIP      string
		refused         string // the beginning of why
		want            []string
	}{
		{name: "fine", namespace: "default", want: []string{"order-a", "order-z", "order-m"}},
		{name: "elsewhere", namespace: "none", refused: `namespaces "none" not found`},
		{name: "thief", namespace: "default", externalIP: "192.0.2.1", refused: `services "thief" is forbidden: spec.externalIPs[0]: 192.0.2.1`},
	} {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: tc.name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
		if tc.externalIP != "" {
			svc.Spec.ExternalIPs = []string{tc.externalIP}
		}
		_, err := c.Registry.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("services"), Namespace: tc.namespace}, svc, registry.WriteOptions{})
		if (err != nil) != (tc.refused != "") || err != nil && !strings.HasPrefix(err.Error(), tc.refused) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.refused)
		}
		asked.Lock()
		got := asked.about[tc.name]
		asked.Unlock()
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v were asked, want %v", tc.name, got, tc.want)
		}
	}
}
