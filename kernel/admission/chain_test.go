package admission_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/admission"
)

func request() *admission.Attributes {
	return &admission.Attributes{
		Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"),
		Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespace: "default", Name: "p",
		Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"app": "web"}}},
	}
}

// label is a mutator that appends to a label, to show the order of rules.
func label(v string) admission.Rule {
	return admission.Rule{Mutate: admission.MutatorFunc(func(_ context.Context, a *admission.Attributes) error {
		a.Object.(*corev1.Pod).Labels["seen"] += v
		return nil
	})}
}

func TestOrderAndSwap(t *testing.T) {
	var c admission.Chain
	c.Set("b", 10, label("b"))
	c.Set("z", 0, label("z"))
	c.Set("a", 10, label("a"))
	pass := c.Begin()
	c.Set("z", 20, label("Z"))
	c.Remove("a")
	for _, tc := range []struct {
		pass admission.Pass
		want string
	}{{pass, "zab"}, {c.Begin(), "bZ"}} {
		a := request()
		if err := tc.pass.Mutate(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if got := a.Object.(*corev1.Pod).Labels["seen"]; got != tc.want {
			t.Errorf("asked in order %q, want %q", got, tc.want)
		}
	}
	if c.Remove("a") || !c.Remove("b") {
		t.Error("Remove does not say whether there was a rule")
	}
}

func deny(err error) admission.Rule {
	return admission.Rule{Validate: admission.ValidatorFunc(func(context.Context, *admission.Attributes) error { return err })}
}

func TestRefusals(t *testing.T) {
	own := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", errors.New("own words"))
	for name, tc := range map[string]struct {
		err    error
		code   int32
		reason metav1.StatusReason
		text   string
	}{
		"plain error": {errors.New("image has no tag"), 403, "Forbidden", `admission policy "no-latest" denied the request: image has no tag`},
		"denial":      {admission.Denyf("%s is taken", "p"), 403, "Forbidden", `admission policy "no-latest" denied the request: p is taken`},
		"wrapped":     {fmt.Errorf("rule: %w", &admission.Denial{Message: "m", Reason: metav1.StatusReasonInvalid}), 422, "Invalid", `admission policy "no-latest" denied the request: m`},
		"status":      {own, 403, "Forbidden", `pods "p" is forbidden: own words`},
		"failure":     {fmt.Errorf("module trapped: %w", admission.ErrFailed), 500, "InternalError", `Internal error occurred: failed calling admission policy "no-latest": module trapped: admission rule failed`},
	} {
		t.Run(name, func(t *testing.T) {
			var c admission.Chain
			c.Set("no-latest", 0, deny(tc.err))
			err := c.Validate(t.Context(), request())
			var s apierrors.APIStatus
			if !errors.As(err, &s) {
				t.Fatalf("got %v", err)
			}
			got := s.Status()
			if got.Code != tc.code || got.Reason != tc.reason || got.Message != tc.text {
				t.Errorf("got  %d %s %s\nwant %d %s %s", got.Code, got.Reason, got.Message, tc.code, tc.reason, tc.text)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	panics := admission.MutatorFunc(func(_ context.Context, a *admission.Attributes) error {
		a.Object.(*corev1.Pod).Labels["half"] = "done"
		panic("out of luck")
	})
	late := admission.MutatorFunc(func(ctx context.Context, _ *admission.Attributes) error {
		<-ctx.Done()
		return ctx.Err()
	})
	for name, m := range map[string]admission.Mutator{"panic": panics, "timeout": late} {
		t.Run(name, func(t *testing.T) {
			var c admission.Chain
			c.Set("x", 0, admission.Rule{Mutate: m, Timeout: 5 * time.Millisecond})
			if err := c.Mutate(t.Context(), request()); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), `policy "x"`) {
				t.Errorf("Fail: %v", err)
			}
			c.Set("x", 0, admission.Rule{Mutate: m, Timeout: 5 * time.Millisecond, Failure: admission.Ignore})
			a := request()
			var warnings []string
			a.Warnings = func(w string) { warnings = append(warnings, w) }
			if err := c.Mutate(t.Context(), a); err != nil {
				t.Errorf("Ignore: %v", err)
			}
			if diff := cmp.Diff(request().Object, a.Object); diff != "" || len(warnings) != 1 {
				t.Errorf("warnings %q, traces of the failed rule:\n%s", warnings, diff)
			}
			s := c.Stats()[0]
			if s.Calls != 1 || s.Failed != 1 || s.Ignored != 1 || s.Denied != 0 || (name == "panic") != (s.Panicked == 1) {
				t.Errorf("stats %+v", s)
			}
		})
	}
	// A refusal counts whatever the failure policy.
	var c admission.Chain
	r := deny(errors.New("no"))
	r.Failure = admission.Ignore
	c.Set("x", 0, r)
	if err := c.Validate(t.Context(), request()); !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	// The request's own end is nobody's failure.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Set("x", 0, admission.Rule{Mutate: late, Failure: admission.Ignore})
	if err := c.Mutate(ctx, request()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMatch(t *testing.T) {
	for name, tc := range map[string]struct {
		m    admission.Match
		a    func(*admission.Attributes)
		want bool
	}{
		"everything":                  {admission.Match{}, nil, true},
		"operation":                   {admission.Match{Operations: []admission.Operation{admission.Create}}, nil, true},
		"other operation":             {admission.Match{Operations: []admission.Operation{admission.Delete}}, nil, false},
		"core group":                  {admission.Match{Groups: []string{""}}, nil, true},
		"other group":                 {admission.Match{Groups: []string{"apps"}}, nil, false},
		"resource":                    {admission.Match{Resources: []string{"pods"}}, nil, true},
		"resource, not its status":    {admission.Match{Resources: []string{"pods", "*"}}, subresource, false},
		"status":                      {admission.Match{Resources: []string{"pods/status"}}, subresource, true},
		"all subresources":            {admission.Match{Resources: []string{"pods/*"}}, subresource, true},
		"status of all":               {admission.Match{Resources: []string{"*/status"}}, subresource, true},
		"all":                         {admission.Match{Resources: []string{"*/*"}}, subresource, true},
		"namespace":                   {admission.Match{Namespaces: []string{"default"}}, nil, true},
		"other namespace":             {admission.Match{Namespaces: []string{"x"}}, nil, false},
		"excluded namespace":          {admission.Match{ExcludeNamespaces: []string{"default"}}, nil, false},
		"cluster scoped":              {admission.Match{Namespaces: []string{"x"}}, clusterScoped, false},
		"cluster scoped, asked for":   {admission.Match{Namespaces: []string{"x"}, ClusterScoped: true}, clusterScoped, true},
		"excluded Namespace":          {admission.Match{ExcludeNamespaces: []string{"p"}}, namespaceObject, false},
		"name":                        {admission.Match{Names: []string{"p"}}, nil, true},
		"other name":                  {admission.Match{Names: []string{"q"}}, nil, false},
		"labels":                      {admission.Match{Labels: labels.SelectorFromSet(labels.Set{"app": "web"})}, nil, true},
		"other labels":                {admission.Match{Labels: labels.SelectorFromSet(labels.Set{"app": "db"})}, nil, false},
		"labels of the object before": {admission.Match{Labels: labels.SelectorFromSet(labels.Set{"app": "db"})}, relabelled, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := request()
			if tc.a != nil {
				tc.a(a)
			}
			if got := tc.m.Matches(a); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func subresource(a *admission.Attributes)     { a.Subresource = "status" }
func clusterScoped(a *admission.Attributes)   { a.Namespace, a.Resource.Resource = "", "nodes" }
func namespaceObject(a *admission.Attributes) { a.Namespace, a.Resource.Resource = "", "namespaces" }
func relabelled(a *admission.Attributes) {
	a.Old = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}}}
}

// Rules come and go while requests pass: each sees one state of the chain.
func TestSwapHammer(t *testing.T) {
	var c admission.Chain
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			c.Set("x", i%3, label("x"))
			c.Set("y", i%2, label("y"))
			c.Remove("x")
		}
	})
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				a := request()
				if err := c.Mutate(context.Background(), a); err != nil {
					t.Error(err)
				}
				if got := a.Object.(*corev1.Pod).Labels["seen"]; len(got) > 2 || strings.Count(got, "x") > 1 || strings.Count(got, "y") > 1 {
					t.Errorf("asked %q", got)
				}
				c.Stats()
			}
		})
	}
	time.AfterFunc(200*time.Millisecond, func() { close(stop) })
	wg.Wait()
}

func TestLifecycle(t *testing.T) {
	state := func(_ context.Context, name string) (exists, terminating bool, err error) {
		return name != "missing", name == "going", nil
	}
	var c admission.Chain
	c.Set(admission.LifecycleName, admission.LifecycleOrder, admission.NewLifecycle(state))
	for name, tc := range map[string]struct {
		change func(*admission.Attributes)
		want   string // "" passes
	}{
		"there":           {func(*admission.Attributes) {}, ""},
		"missing":         {func(a *admission.Attributes) { a.Namespace = "missing" }, `namespaces "missing" not found`},
		"going":           {func(a *admission.Attributes) { a.Namespace = "going" }, `pods "p" is forbidden: unable to create new content in namespace going because it is being terminated`},
		"update in going": {func(a *admission.Attributes) { a.Namespace, a.Operation = "going", admission.Update }, ""},
		"delete in going": {func(a *admission.Attributes) { a.Namespace, a.Operation = "going", admission.Delete }, ""},
		"generated name": {func(a *admission.Attributes) {
			a.Namespace, a.Name, a.Object = "going", "", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "g-"}}
		}, `pods "g-" is forbidden: unable to create new content in namespace going because it is being terminated`},
		"immortal": {func(a *admission.Attributes) {
			namespaceObject(a)
			a.Name, a.Operation = "kube-system", admission.Delete
		}, `namespaces "kube-system" is forbidden: this namespace may not be deleted`},
		"mortal": {func(a *admission.Attributes) { namespaceObject(a); a.Name, a.Operation = "going", admission.Delete }, ""},
		"review of a missing": {func(a *admission.Attributes) {
			a.Namespace = "missing"
			a.Resource = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "localsubjectaccessreviews"}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := request()
			tc.change(a)
			err := c.Mutate(t.Context(), a)
			if got := fmt.Sprint(err); (err == nil) != (tc.want == "") || (err != nil && got != tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestPoliciesReplaceNoOwnRule: people name policies, and one that is called as a
// rule of the server neither takes its place nor, when it goes, takes it along.
func TestPoliciesReplaceNoOwnRule(t *testing.T) {
	var c admission.Chain
	refuse := admission.ValidatorFunc(func(context.Context, *admission.Attributes) error { return admission.Denyf("own") })
	pass := admission.ValidatorFunc(func(context.Context, *admission.Attributes) error { return nil })
	c.Set("rbac-escalation", -1000, admission.Rule{Validate: refuse})
	refused := func(when string) {
		t.Helper()
		if c.Validate(t.Context(), &admission.Attributes{}) == nil {
			t.Errorf("%s: the server's own rule was not asked", when)
		}
	}
	c.RemovePolicy("rbac-escalation") // of which there is none, as for any plugin that is no policy
	refused("before")
	c.Set("rbac-escalation", -2000, admission.Rule{Validate: pass, Policy: true})
	refused("beside a policy")
	if !c.RemovePolicy("rbac-escalation") || c.RemovePolicy("rbac-escalation") {
		t.Error("the policy was not there once")
	}
	refused("after")
}
