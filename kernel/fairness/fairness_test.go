package fairness_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// TestClassification: everybody is sorted in as upstream does by the objects that
// every cluster has.
func TestClassification(t *testing.T) {
	s := start(t)
	const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
	as := func(name string, groups ...string) *rest.Config { return s.User(t, name, groups...) }
	sa := func(ns string) *rest.Config {
		return as("system:serviceaccount:"+ns+":x", "system:serviceaccounts", "system:serviceaccounts:"+ns)
	}
	for name, c := range map[string]struct {
		who          *rest.Config
		method, path string
		want         string
	}{
		"an administrator":                   {s.Admin(), "GET", "/api/v1/pods", "exempt/exempt"},
		"a health check":                     {s.Bearer(""), "GET", "/readyz", "probes/exempt"},
		"nobody":                             {s.Bearer(""), "GET", "/version", "global-default/global-default"},
		"a user":                             {as("ann"), "GET", "/api/v1/pods", "global-default/global-default"},
		"a user's watch":                     {as("ann"), "GET", "/api/v1/pods?watch=1&timeoutSeconds=1", "global-default/global-default"},
		"a user's write":                     {as("ann"), "PUT", "/api/v1/namespaces/default/pods/p", "global-default/global-default"},
		"a user's stream":                    {as("ann"), "GET", "/api/v1/namespaces/default/pods/p/log", ""},
		"an account":                         {sa("default"), "GET", "/api/v1/pods", "service-accounts/workload-low"},
		"an account of the system":           {sa("kube-system"), "GET", "/api/v1/pods", "kube-system-service-accounts/workload-high"},
		"an agent's heartbeat":               {as("system:node:n", "system:nodes"), "PATCH", "/api/v1/nodes/n/status", "system-node-high/node-high"},
		"an agent's lease":                   {as("system:node:n", "system:nodes"), "GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n", "system-node-high/node-high"},
		"an agent's other requests":          {as("system:node:n", "system:nodes"), "GET", "/api/v1/services", "system-nodes/system"},
		"the scheduler's lease":              {as("system:kube-scheduler"), "GET", leases + "/x", "system-leader-election/leader-election"},
		"the scheduler":                      {as("system:kube-scheduler"), "GET", "/api/v1/pods", "kube-scheduler/workload-high"},
		"the controllers":                    {as("system:kube-controller-manager"), "GET", "/api/v1/pods", "kube-controller-manager/workload-high"},
		"the lease of an account that leads": {sa("kube-system"), "PUT", leases + "/x", "system-leader-election/leader-election"},
	} {
		t.Run(name, func(t *testing.T) {
			body := ""
			if c.method != "GET" {
				body = "{}"
			}
			a := s.ask(t, c.who, c.method, c.path, body)
			if got := s.sorted(t, a); got != c.want || a.err != nil {
				t.Errorf("%s, want %s (%d %v %.200s)", got, c.want, a.code, a.err, a.body)
			}
		})
	}
}

// TestNoisyClient: one client floods a level that it shares with another. The level's
// seats are taken, its queues are full, the rest is refused; of the other client every
// request is served, and among the first when seats become free. Other levels notice
// nothing.
func TestNoisyClient(t *testing.T) {
	s := start(t)
	const hand, flood = 4, 120
	s.create(t, level("shared", 50, queues(64, hand, 5)), flowSchema("shared", "shared", 500, 1, "noisy", "quiet"))
	refused, served := make(chan answer, flood), make(chan answer, flood)
	var wg sync.WaitGroup
	request := func(cfg *rest.Config, path string, to func(answer)) {
		hc, err := rest.HTTPClientFor(cfg)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { to(do(t.Context(), hc, http.MethodGet, s.URL+path, "")) })
	}
	noisy := s.User(t, "noisy")
	for range flood {
		request(noisy, "/api/v1/configmaps", func(a answer) {
			if a.code == http.StatusTooManyRequests {
				refused <- a
			} else {
				served <- a
			}
		})
	}
	inQueue := func() int {
		return int(s.metric(t, "apiserver_flowcontrol_current_inqueue_requests", `priority_level="shared"`))
	}
	eventually(t, "seats and queues are full", func() bool { return len(s.enter)+len(refused)+inQueue() == flood })
	seats, waiting := len(s.enter), inQueue()
	t.Logf("%d are executed, %d wait, %d are refused", seats, waiting, len(refused))
	if seats == 0 || waiting != hand*5 || len(refused) == 0 {
		t.Fatalf("%d are executed, %d wait, %d are refused", seats, waiting, len(refused))
	}
	a := <-refused
	if n, err := strconv.Atoi(a.retryAfter); err != nil || n < 1 || !strings.Contains(a.body, "Too many requests, please try again later.") || s.sorted(t, a) != "shared/shared" {
		t.Errorf("refused with Retry-After %q, of %s: %s", a.retryAfter, s.sorted(t, a), a.body)
	}
	for who, cfg := range map[string]*rest.Config{"an administrator": s.Admin(), "another level": s.User(t, "ann")} {
		if a := s.ask(t, cfg, "GET", "/api/v1/namespaces", ""); a.code != http.StatusOK {
			t.Errorf("%s: %d %s", who, a.code, a.body)
		}
	}
	for range seats {
		<-s.enter
	}
	const asked = 3
	quietServed := make(chan answer, asked)
	for range asked {
		request(s.User(t, "quiet"), "/api/v1/configmaps", func(a answer) { quietServed <- a })
	}
	eventually(t, "the quiet client waits", func() bool { return inQueue() == waiting+asked })
	// Of the seats that become free one after the other, the quiet client's queue has
	// its part beside each of the other's, though the other was there long before.
	turns, quiet := 0, 0
	for ; quiet < asked; turns++ {
		s.leave <- struct{}{}
		if who := <-s.enter; who == "quiet" {
			quiet++
		}
	}
	if most := asked * (hand + 1); turns > most {
		t.Errorf("the quiet client had %d requests served after %d of all, want %d at most", quiet, turns, most)
	}
	if n := inQueue(); n == 0 {
		t.Error("nobody waits any more: the noisy client was served first")
	}
	close(s.leave)
	wg.Wait()
	for range asked {
		if a := <-quietServed; a.code != http.StatusOK {
			t.Errorf("the quiet client: %d %s %v", a.code, a.body, a.err)
		}
	}
	close(served)
	for a := range served {
		if a.code != http.StatusOK {
			t.Errorf("the noisy client: %d %s %v", a.code, a.body, a.err)
		}
	}
}

// TestChangedMeanwhile: objects that change while requests are executed and wait count
// for those that wait, and lose none.
func TestChangedMeanwhile(t *testing.T) {
	s := start(t)
	s.create(t, level("changing", 1, queues(8, 2, 50)), flowSchema("changing", "changing", 500, 1, "bob"))
	const flood = 20
	answers := make(chan answer, flood)
	hc, err := rest.HTTPClientFor(s.User(t, "bob"))
	if err != nil {
		t.Fatal(err)
	}
	for range flood {
		go func() { answers <- do(t.Context(), hc, http.MethodGet, s.URL+"/api/v1/configmaps", "") }()
	}
	inQueue := func() int {
		return int(s.metric(t, "apiserver_flowcontrol_current_inqueue_requests", `priority_level="changing"`))
	}
	eventually(t, "one is executed, the others wait", func() bool { return len(s.enter) == 1 && inQueue() == flood-1 })

	api := s.client.FlowcontrolV1()
	if _, err := api.PriorityLevelConfigurations().Patch(t.Context(), "changing", types.MergePatchType, []byte(`{"spec":{"limited":{"nominalConcurrencyShares":40}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "more shares are more seats", func() bool { return len(s.enter) > 1 })

	dangling := func() string {
		f, err := api.FlowSchemas().Get(t.Context(), "changing", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Status.Conditions {
			if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
				return string(c.Status) + " " + c.Reason
			}
		}
		return ""
	}
	eventually(t, "the schema refers to something", func() bool { return dangling() == "False Found" })
	if err := api.PriorityLevelConfigurations().Delete(t.Context(), "changing", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the schema dangles", func() bool { return dangling() == "True NotFound" })
	eventually(t, "bob is sorted in elsewhere", func() bool {
		return s.sorted(t, s.ask(t, s.User(t, "bob"), "GET", "/version", "")) == "global-default/global-default"
	})
	close(s.leave)
	for range flood {
		if a := <-answers; a.code != http.StatusOK {
			t.Errorf("%d %s %v", a.code, a.body, a.err)
		}
	}
}

// TestHostileSchema: thousands of rules that sort everybody's requests into a level
// without seats lock no administrator out, who removes them; and what every cluster
// has comes back when it is deleted.
func TestHostileSchema(t *testing.T) {
	s := start(t)
	s.create(t, level("nothing", 0, flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}), flowSchema("hostile", "nothing", 2, 2000, "*"))
	if got := s.sorted(t, s.ask(t, s.Admin(), "GET", "/version", "")); got != "exempt/exempt" {
		t.Errorf("an administrator is sorted into %s", got)
	}
	api := s.client.FlowcontrolV1()
	first := flowSchema("first", "nothing", 1, 1, "*")
	if _, err := api.FlowSchemas().Create(t.Context(), first, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a schema before that of administrators: %v, want Invalid", err)
	}
	for _, name := range []string{"exempt", "catch-all"} {
		schema, err := api.FlowSchemas().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		prio, err := api.PriorityLevelConfigurations().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := api.FlowSchemas().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := api.PriorityLevelConfigurations().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is back", func() bool {
			f, err := api.FlowSchemas().Get(t.Context(), name, metav1.GetOptions{})
			if err != nil || f.UID == schema.UID {
				return false
			}
			p, err := api.PriorityLevelConfigurations().Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && p.UID != prio.UID
		})
	}
	if err := api.FlowSchemas().Delete(t.Context(), "hostile", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everybody is served again", func() bool {
		a := s.ask(t, s.User(t, "ann"), "GET", "/version", "")
		return a.code == http.StatusOK && s.sorted(t, a) == "global-default/global-default"
	})
}

// TestSuggestions: what an operator changes of a suggested object is his, and says so,
// until he gives it back; suggestions of another version go when nobody changed them.
func TestSuggestions(t *testing.T) {
	s := start(t)
	levels := s.client.FlowcontrolV1().PriorityLevelConfigurations()
	get := func(name string) *flowcontrolv1.PriorityLevelConfiguration {
		p, err := levels.Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	auto := func(name string) string { return get(name).Annotations[flowcontrolv1.AutoUpdateAnnotationKey] }
	shares := func() int32 { return ptr.Deref(get("workload-low").Spec.Limited.NominalConcurrencyShares, -1) }
	if auto("workload-low") != "true" || shares() != 100 {
		t.Fatalf("suggested: %v", get("workload-low"))
	}
	patch := func(name, p string) {
		t.Helper()
		if _, err := levels.Patch(t.Context(), name, types.MergePatchType, []byte(p), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch("workload-low", `{"metadata":{"annotations":{"apf.kubernetes.io/autoupdate-spec":null}},"spec":{"limited":{"nominalConcurrencyShares":7}}}`)
	eventually(t, "it is the operator's", func() bool { return auto("workload-low") == "false" })
	patch("workload-low", `{"metadata":{"labels":{"a":"b"}}}`)
	for name, value := range map[string]string{"outdated": "true", "mine": "false"} {
		p := level(name, 1, queues(8, 2, 50))
		p.Annotations = map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: value}
		if _, err := levels.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the outdated one is gone", func() bool { return get("outdated") == nil })
	if get("mine") == nil || shares() != 7 {
		t.Errorf("what is the operator's was changed: %v, %v", get("mine"), get("workload-low"))
	}
	patch("workload-low", `{"metadata":{"annotations":{"apf.kubernetes.io/autoupdate-spec":"true"}}}`)
	eventually(t, "it is as suggested again", func() bool { return shares() == 100 })
	patch("exempt", `{"spec":{"exempt":{"nominalConcurrencyShares":3,"lendablePercent":50}}}`)
	patch("exempt", `{"metadata":{"annotations":{"apf.kubernetes.io/autoupdate-spec":"no"}}}`)
	eventually(t, "a mandatory one is always kept", func() bool { return auto("exempt") == "true" })
	if e := get("exempt").Spec.Exempt; *e.NominalConcurrencyShares != 3 || *e.LendablePercent != 50 {
		t.Errorf("what an operator may say of the level exempt is %v", e)
	}
}

// TestPages: levels, queues and requests are shown, to administrators.
func TestPages(t *testing.T) {
	s := start(t)
	for page, want := range map[string]string{"dump_priority_levels": "workload-low", "dump_queues": "PriorityLevelName", "dump_requests": "RequestIndexInQueue"} {
		a := s.ask(t, s.Admin(), "GET", "/debug/api_priority_and_fairness/"+page, "")
		if a.code != http.StatusOK || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %.300s", page, a.code, a.body)
		}
	}
	if err := s.client.RbacV1().ClusterRoleBindings().Delete(t.Context(), "everybody", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "others do not see them", func() bool {
		return s.ask(t, s.User(t, "ann"), "GET", "/debug/api_priority_and_fairness/dump_requests", "").code == http.StatusForbidden
	})
}
