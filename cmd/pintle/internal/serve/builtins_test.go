package serve_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/standard"
)

// TestOrdersOfPolicies: those that ship have orders that a policy may have, no
// two the same, and docs/plugins.md lists them as they are.
func TestOrdersOfPolicies(t *testing.T) {
	docs, err := os.ReadFile("../../../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| policy | order |\n|---|---|\n")
	seen := map[int32]string{}
	for _, p := range standard.Plugins {
		if p.Order == 0 {
			continue
		}
		fmt.Fprintf(&table, "| `%s` | %d |\n", p.Name, p.Order)
		if err := admission.CheckPolicyOrder(p.Order); err != nil {
			t.Errorf("%s: order %d: %v", p.Name, p.Order, err)
		}
		if other := seen[p.Order]; other != "" {
			t.Errorf("%s and %s have the same order", other, p.Name)
		}
		seen[p.Order] = p.Name
	}
	if !strings.Contains(string(docs), table.String()+"\n") {
		t.Errorf("docs/plugins.md has no table\n%s", table.String())
	}
}

// TestBuiltinsAreReady: everything that ships is loaded with the permissions
// that it ships with; one that watches what it may not would not be.
func TestBuiltinsAreReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve.DefaultServer()
	s.Dir, s.PluginHost, s.UnsafeNoFsync, s.Log = paths.Dir(t.TempDir()), "native", true, slog.New(slog.DiscardHandler)
	s.Listeners, s.Advertise = []net.Listener{l}, netip.MustParseAddrPort(l.Addr().String())
	s.Report = steps.NewReporter(steps.Terminal(t.Output()), time.Now)
	controlPlane, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controlPlane.Run(ctx, nil) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	api := controlPlane.Kernel().Access().As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	<-controlPlane.Kernel().PluginsSynced()
	for _, p := range standard.Plugins {
		var status v1alpha1.PluginStatus
		for deadline := time.Now().Add(time.Minute); status.Phase != v1alpha1.Ready; time.Sleep(10 * time.Millisecond) {
			o, err := api.Get(ctx, registry.Target{Resource: v1alpha1.Plugins, Name: p.Name}, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if status = o.Obj.(*v1alpha1.Plugin).Status; status.Phase == v1alpha1.Failed || time.Now().After(deadline) {
				t.Errorf("plugin %s is %s: %s", p.Name, status.Phase, status.Message)
				break
			}
		}
	}
	if o, err := api.Get(ctx, registry.Target{Resource: v1alpha1.Plugins, Name: "load-balancer"}, metav1.GetOptions{}); err != nil {
		t.Error(err)
	} else if got, want := string(o.Obj.(*v1alpha1.Plugin).Spec.Config.Raw), fmt.Sprintf(`{"serverPorts":["%d"]}`, s.Advertise.Port()); got != want {
		t.Errorf("config of load-balancer: %s, want %s", got, want)
	}
	if o, err := api.Get(ctx, registry.Target{Resource: v1alpha1.Plugins, Name: "bootstrap-signer"}, metav1.GetOptions{}); err != nil {
		t.Error(err)
	} else {
		for _, r := range o.Obj.(*v1alpha1.Plugin).Spec.Permissions {
			if slices.Contains(r.Verbs, "update") && !slices.Equal(r.ResourceNames, []string{"cluster-info"}) {
				t.Errorf("bootstrap-signer may update %v %q", r.Resources, r.ResourceNames)
			}
		}
	}
	var missing []string
	for _, d := range controlPlane.Kernel().Catalog().Snapshot().Definitions {
		if gr := d.GroupResource(); d.NeedsImplementer && len(kernel.Implementers(controlPlane.Kernel(), gr)) == 0 {
			missing = append(missing, gr.String())
		}
	}
	slices.Sort(missing)
	if d := cmp.Diff(unimplemented, missing); d != "" {
		t.Errorf("what nobody of what ships implements, and docs/limits.md names (-want +got):\n%s", d)
	}
}

// unimplemented are the kinds of which docs/limits.md says that nobody acts on
// them.
var unimplemented = []string{
	"ingresses.networking.k8s.io",
	"networkpolicies.networking.k8s.io",
}

// TestControllersAccounts: whoever acts under the name of upstream's controller has
// that controller's role bound to the name, and what ships and controls has one.
func TestControllersAccounts(t *testing.T) {
	policy, err := rbac.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]string{}
	for _, b := range policy.ClusterRoleBindings {
		for _, s := range b.Subjects {
			if s.Kind == "ServiceAccount" && s.Namespace == "kube-system" {
				bound[s.Name] = b.RoleRef.Name
			}
		}
	}
	for _, b := range policy.RoleBindings { // some have no more than roles of a namespace
		for _, s := range b.Subjects {
			if s.Kind == "ServiceAccount" && s.Namespace == "kube-system" && bound[s.Name] == "" {
				bound[s.Name] = b.RoleRef.Name
			}
		}
	}
	for _, p := range standard.Plugins {
		// What decides is no controller, upstream has none that provisions, and its one of
		// tokens acts as the controller manager itself.
		decides := p.Name == "scheduling" || p.Order != 0 || p.Name == "local-path" || p.Name == "service-account-token"
		if want := "system:controller:" + p.Account; !decides && bound[p.Account] != want || decides && p.Account != "" {
			t.Errorf("plugin %s acts as %q, to which %q is bound", p.Name, p.Account, bound[p.Account])
		}
	}
}
