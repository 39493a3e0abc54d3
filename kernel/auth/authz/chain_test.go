package authz_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/auth/authz"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

const header = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n"

// hook is an authorization webhook: it decides by the user's name.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	asked []authorizationv1.SubjectAccessReviewSpec
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authorizationv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		h.asked = append(h.asked, review.Spec)
		h.mu.Unlock()
		switch review.Spec.User {
		case "allowed", "denied-by-none":
			review.Status.Allowed, review.Status.Reason = true, "the hook likes him"
		case "denied":
			review.Status.Denied, review.Status.Reason = true, "the hook knows him"
		case "broken":
			_, _ = io.WriteString(w, "no JSON")
			return
		case "silent":
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(h.Close)
	return h
}

// of counts what has been asked about a user.
func (h *hook) of(user string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.asked {
		if s.User == user {
			n++
		}
	}
	return n
}

func (h *hook) kubeconfig(t *testing.T) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})))
	return write(t, "", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: hook, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: server, user: {}}]
contexts: [{name: hook, context: {cluster: hook, user: server}}]
current-context: hook
`, h.URL+"/authorize", ca))
}

// config is the webhook's part of an AuthorizationConfiguration.
func (h *hook) config(t *testing.T, name, policy, more string) string {
	t.Helper()
	return fmt.Sprintf(`- type: Webhook
  name: %s
  webhook:
    timeout: 2s
    authorizedTTL: 1m
    unauthorizedTTL: 1m
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: %s
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: %q}
%s`, name, policy, h.kubeconfig(t), more)
}

const nodeAndRBAC = "- {type: Node, name: node}\n- {type: RBAC, name: rbac}\n"

func write(t *testing.T, path, text string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "config")
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a server; change says who decides.
func start(t *testing.T, change func(*authz.Options)) *kerneltest.Server {
	t.Helper()
	o := authz.DefaultOptions()
	change(&o)
	return kerneltest.Start(t, kerneltest.Options{Config: func(c *kernel.Config) { c.Authorization = &o }})
}

// list asks for what only a webhook allows here.
func list(t *testing.T, cfg *rest.Config) error {
	t.Helper()
	_, err := kerneltest.Client(t, cfg).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	return err
}

// TestWebhookDecides: after Node and RBAC have no opinion, the webhook has; what it
// says is the reason, is remembered, and reviews say the same.
func TestWebhookDecides(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	s := start(t, func(o *authz.Options) {
		o.Modes, o.Webhook.ConfigFile, o.Webhook.Version = []string{"Node", "RBAC", "Webhook"}, h.kubeconfig(t), "v1"
	})
	for range 3 {
		if err := list(t, s.User(t, "allowed", "team")); err != nil {
			t.Errorf("allowed: %v", err)
		}
	}
	if n := h.of("allowed"); n != 1 {
		t.Errorf("the webhook was asked %d times", n)
	}
	h.mu.Lock()
	spec := h.asked[slices.IndexFunc(h.asked, func(s authorizationv1.SubjectAccessReviewSpec) bool { return s.User == "allowed" })]
	h.mu.Unlock()
	if r := spec.ResourceAttributes; r == nil || r.Verb != "list" || r.Resource != "configmaps" || r.Namespace != "default" || !slices.Contains(spec.Groups, "team") {
		t.Errorf("it was asked %+v", spec)
	}
	if err := list(t, s.User(t, "denied")); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "the hook knows him") {
		t.Errorf("denied: %v", err)
	}
	if err := list(t, s.User(t, "unknown")); !apierrors.IsForbidden(err) {
		t.Errorf("no opinion: %v", err)
	}
	if n := h.of("kubernetes-admin"); n != 0 {
		t.Errorf("the webhook was asked about the administrator %d times", n)
	}
	for user, want := range map[string]authorizationv1.SubjectAccessReviewStatus{
		"allowed": {Allowed: true, Reason: "the hook likes him"}, "denied": {Denied: true, Reason: "the hook knows him"}, "unknown": {},
	} {
		r, err := kerneltest.Client(t, s.Admin()).AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "configmaps", Namespace: "default", Version: "v1"}}}, metav1.CreateOptions{})
		if err != nil || r.Status != want {
			t.Errorf("review of %s: %+v, %v, want %+v", user, r.Status, err, want)
		}
	}
	rules, err := kerneltest.Client(t, s.User(t, "allowed")).AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}}, metav1.CreateOptions{})
	if err != nil || !rules.Status.Incomplete || !strings.Contains(rules.Status.EvaluationError, "webhook authorizer does not support") || len(rules.Status.ResourceRules) == 0 {
		t.Errorf("rules: %+v, %v", rules, err)
	}
}

// TestWebhookFails: a webhook that answers nonsense, or nothing, decides by its policy,
// and nobody waits for it who is not asked about.
func TestWebhookFails(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]func(error) bool{
		// What no other authorizer allows is not decided: that may be asked again.
		"NoOpinion": apierrors.IsInternalError,
		"Deny":      apierrors.IsInternalError,
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			only := "    matchConditions:\n    - expression: request.user in ['broken', 'silent', 'reader']\n"
			s := start(t, func(o *authz.Options) {
				o.ConfigFile = write(t, "", header+"authorizers:\n"+h.config(t, "hook", policy, only)+nodeAndRBAC)
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			silent := kerneltest.Client(t, s.User(t, "silent"))
			for range 50 {
				go func() { _, _ = silent.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}) }()
			}
			if err := list(t, s.Admin()); err != nil {
				t.Errorf("the administrator: %v", err)
			}
			if err := list(t, s.User(t, "other")); !apierrors.IsForbidden(err) {
				t.Errorf("whom the condition leaves out: %v", err)
			}
			for _, user := range []string{"broken", "silent"} {
				if err := list(t, s.User(t, user)); !want(err) {
					t.Errorf("%s: %v", user, err)
				}
			}
			if n := h.of("other"); n != 0 {
				t.Errorf("it was asked %d times about whom the condition leaves out", n)
			}
			// What everybody may do goes on where the policy lets others decide.
			_, err := silent.Discovery().RESTClient().Get().AbsPath("/api").DoRaw(t.Context())
			if (err == nil) != (policy == "NoOpinion") {
				t.Errorf("discovery: %v", err)
			}
		})
	}
}

// TestReload: the file is followed; what is wrong in it changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	file := write(t, "", header+"authorizers:\n"+nodeAndRBAC)
	s := start(t, func(o *authz.Options) { o.ConfigFile = file })
	if err := list(t, s.User(t, "allowed")); !apierrors.IsForbidden(err) {
		t.Errorf("before: %v", err)
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	write(t, file, header+"authorizers:\n"+h.config(t, "hook", "Deny", "")+"- {type: RBAC, name: rbac}\n")
	until("that Node may not go is not told", func() bool {
		return regexp.MustCompile(`apiserver_authorization_config_controller_automatic_reloads_total\{apiserver_id_hash="[^"]*",status="failure"\} [1-9]`).MatchString(metrics(t, s))
	})
	if err := list(t, s.User(t, "allowed")); !apierrors.IsForbidden(err) {
		t.Errorf("a file that is refused: %v", err)
	}
	write(t, file, header+"authorizers:\n"+nodeAndRBAC+h.config(t, "hook", "Deny", ""))
	until("a file that is right is not taken", func() bool { return list(t, s.User(t, "allowed")) == nil })
	if m := metrics(t, s); !strings.Contains(m, `apiserver_authorization_decisions_total{decision="allowed",name="hook",type="Webhook"}`) {
		t.Error("its decisions are not counted")
	}
}

func metrics(t *testing.T, s *kerneltest.Server) string {
	t.Helper()
	resp, err := s.HTTP().Get(s.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOpenRefuses: what is wrong is named, at the start.
func TestOpenRefuses(t *testing.T) {
	webhook := func(fields string) string {
		return header + "authorizers:\n- {type: Webhook, name: hook, webhook: {timeout: 3s, authorizedTTL: 1m, unauthorizedTTL: 1m, subjectAccessReviewVersion: v1, matchConditionSubjectAccessReviewVersion: v1, " + fields + "}}\n"
	}
	for name, tc := range map[string]struct {
		change func(*authz.Options)
		file   string
		want   []string
	}{
		"no file":         {func(o *authz.Options) { o.ConfigFile = "/no/such/file" }, "", []string{"--authorization-config", "/no/such/file"}},
		"unknown field":   {nil, header + "authorizers: []\nauthorisers: []\n", []string{`unknown field "authorisers"`}},
		"nobody":          {nil, header + "authorizers: []\n", []string{"authorizers", "at least one"}},
		"ABAC":            {nil, header + "authorizers: [{type: ABAC, name: abac}]\n", []string{"authorizers[0].type", "ABAC"}},
		"another name":    {nil, header + "authorizers: [{type: RBAC, name: roles}]\n", []string{"authorizers[0].name", "rbac"}},
		"twice":           {nil, header + "authorizers: [{type: RBAC, name: rbac}, {type: RBAC, name: rbac}]\n", []string{"authorizers[1]"}},
		"failure policy":  {nil, webhook("failurePolicy: Maybe, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /dev/null}"), []string{"failurePolicy", "Deny"}},
		"condition":       {nil, webhook("failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /dev/null}, matchConditions: [{expression: 'request.'}]"), []string{"matchConditions[0].expression"}},
		"kubeconfig":      {nil, webhook("failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /no/such/file}"), []string{"kubeConfigFile", "/no/such/file"}},
		"in cluster":      {nil, webhook("failurePolicy: Deny, connectionInfo: {type: InClusterConfig}"), []string{"connectionInfo.type", "KubeConfigFile"}},
		"file and modes":  {func(o *authz.Options) { o.Modes = []string{"RBAC"} }, header, []string{"--authorization-config", "--authorization-mode"}},
		"mode":            {func(o *authz.Options) { o.Modes = []string{"Roles"} }, "", []string{"--authorization-mode", "Roles", "RBAC"}},
		"mode ABAC":       {func(o *authz.Options) { o.Modes = []string{"ABAC"} }, "", []string{"--authorization-mode ABAC"}},
		"mode twice":      {func(o *authz.Options) { o.Modes = []string{"RBAC", "RBAC"} }, "", []string{"twice"}},
		"webhook, where?": {func(o *authz.Options) { o.Modes = []string{"Webhook"} }, "", []string{"--authorization-webhook-config-file"}},
		"nobody asks it":  {func(o *authz.Options) { o.Webhook.ConfigFile = "x" }, "", []string{"--authorization-mode"}},
		"version": {func(o *authz.Options) {
			o.Modes, o.Webhook.ConfigFile, o.Webhook.Version = []string{"Webhook"}, "x", "v2"
		}, "", []string{"--authorization-webhook-version"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := authz.DefaultOptions()
			if tc.file != "" {
				o.ConfigFile = write(t, "", tc.file)
			}
			if tc.change != nil {
				tc.change(&o)
			}
			_, err := authz.Open(authz.Config{Options: o})
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say %q", err, w)
				}
			}
		})
	}
}
