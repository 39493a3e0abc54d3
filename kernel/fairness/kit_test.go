package fairness_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
)

func table(t testing.TB) *resource.Table {
	t.Helper()
	out, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// server is one whose lists of ConfigMaps by others than administrators wait.
type server struct {
	*kerneltest.Server
	client *kubernetes.Clientset // of the administrator
	enter  chan string           // who is being executed
	leave  chan struct{}         // lets one of them go on
}

// start runs a server at which everybody may do everything: what is refused, is for
// want of a turn.
func start(t testing.TB) *server {
	t.Helper()
	s := &server{enter: make(chan string, 1000), leave: make(chan struct{})}
	s.Server = kerneltest.Start(t, kerneltest.Options{Table: table(t), Adjust: kernel.Adjust{API: func(c *apiserver.Config) {
		all := c.Registry
		c.Registry = accessFunc(func(u user.Info) registry.Registry { return &waits{all.As(u), u, s} })
		c.Limits.ReadInFlight, c.Limits.WriteInFlight = 40, 20
		c.Limits.RequestTimeout = 10 * time.Minute
	}}})
	s.client = kerneltest.Client(t, s.Admin())
	everybody := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "everybody"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}
	for _, g := range []string{user.AllAuthenticated, user.AllUnauthenticated} {
		everybody.Subjects = append(everybody.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "Group", Name: g})
	}
	if _, err := s.client.RbacV1().ClusterRoleBindings().Create(t.Context(), everybody, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

type accessFunc func(u user.Info) registry.Registry

func (f accessFunc) As(u user.Info) registry.Registry { return f(u) }

type waits struct {
	registry.Registry
	user user.Info
	s    *server
}

func (w *waits) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	if t.Resource.Resource != "configmaps" {
		return w.Registry.List(ctx, t, o)
	}
	w.s.enter <- w.user.GetName()
	select {
	case <-w.s.leave:
		return w.Registry.List(ctx, t, o)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answer is what a client saw of one request.
type answer struct {
	code          int
	schema, level string // uids
	retryAfter    string
	body          string
	err           error
}

func (s *server) ask(t testing.TB, cfg *rest.Config, method, path, body string) answer {
	t.Helper()
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return do(t.Context(), hc, method, s.URL+path, body)
}

func do(ctx context.Context, hc *http.Client, method, url, body string) answer {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := hc.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	h := resp.Header
	return answer{code: resp.StatusCode, schema: h.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID), level: h.Get(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID),
		retryAfter: h.Get("Retry-After"), body: string(b), err: err}
}

// sorted is the names of the objects whose uids an answer told: schema/level.
func (s *server) sorted(t testing.TB, a answer) string {
	t.Helper()
	if a.schema == "" && a.level == "" {
		return ""
	}
	schema, level := "?", "?"
	schemas, err := s.client.FlowcontrolV1().FlowSchemas().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range schemas.Items {
		if string(x.UID) == a.schema {
			schema = x.Name
		}
	}
	levels, err := s.client.FlowcontrolV1().PriorityLevelConfigurations().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range levels.Items {
		if string(x.UID) == a.level {
			level = x.Name
		}
	}
	return schema + "/" + level
}

// eventually waits for what must happen, and may take long on a busy machine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 800 {
		if ok() {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	t.Fatalf("it did not happen: %s", what)
}

// metric is the sum of a metric's series with all of these labels.
func (s *server) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
	sc := bufio.NewScanner(strings.NewReader(s.ask(t, s.Admin(), "GET", "/metrics", "").body))
	sc.Buffer(nil, 1<<20)
lines:
	for sc.Scan() {
		head, value, _ := strings.Cut(sc.Text(), "} ")
		if !strings.HasPrefix(head, name+"{") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(head, l) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// level is a priority level of some shares that neither lends nor borrows.
func level(name string, shares int32, r flowcontrolv1.LimitResponse) *flowcontrolv1.PriorityLevelConfiguration {
	return &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			NominalConcurrencyShares: &shares, LendablePercent: ptr.To[int32](0), BorrowingLimitPercent: ptr.To[int32](0), LimitResponse: r}}}
}

func queues(n, hand, length int32) flowcontrolv1.LimitResponse {
	return flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeQueue, Queuing: &flowcontrolv1.QueuingConfiguration{Queues: n, HandSize: hand, QueueLengthLimit: length}}
}

// flowSchema sorts all that some users ask into a level; "*" is everybody.
func flowSchema(name, level string, precedence int32, rules int, users ...string) *flowcontrolv1.FlowSchema {
	f := &flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: flowcontrolv1.FlowSchemaSpec{
		PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level}, MatchingPrecedence: precedence,
		DistinguisherMethod: &flowcontrolv1.FlowDistinguisherMethod{Type: flowcontrolv1.FlowDistinguisherMethodByUserType}}}
	for i := range rules {
		r := flowcontrolv1.PolicyRulesWithSubjects{
			ResourceRules:    []flowcontrolv1.ResourcePolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}, ClusterScope: true, Namespaces: []string{"*"}}},
			NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}}}
		for _, u := range users {
			if i < rules-1 {
				u = fmt.Sprintf("nobody-%d", i) // the last rule is the one that matches
			}
			r.Subjects = append(r.Subjects, flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: u}})
		}
		f.Spec.Rules = append(f.Spec.Rules, r)
	}
	return f
}

func (s *server) create(t testing.TB, l *flowcontrolv1.PriorityLevelConfiguration, f *flowcontrolv1.FlowSchema) {
	t.Helper()
	if _, err := s.client.FlowcontrolV1().PriorityLevelConfigurations().Create(t.Context(), l, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.FlowcontrolV1().FlowSchemas().Create(t.Context(), f, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	who := f.Spec.Rules[len(f.Spec.Rules)-1].Subjects[0].User.Name
	if who == "*" {
		who = "ann"
	}
	cfg := s.User(t, who)
	eventually(t, "requests of "+who+" are sorted into "+f.Name, func() bool {
		return s.sorted(t, s.ask(t, cfg, "GET", "/version", "")) == f.Name+"/"+l.Name
	})
}
