package kerneltest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// commits notes the writes of objects below a prefix, by commit.
type commits struct {
	store.Store
	mu  sync.Mutex
	all [][]string // guarded by mu
}

func (c *commits) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	rev, err := c.Store.Commit(ctx, ops)
	var keys []string
	for _, op := range ops {
		if strings.HasPrefix(op.Key, "/registry/configmaps/batch/") && !op.Check {
			keys = append(keys, op.Key)
		}
	}
	if err == nil && keys != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, keys)
	}
	return rev, err
}

// take answers the commits since the last call.
func (c *commits) take() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// post sends a batch of items as a client does.
func post(t *testing.T, cs kubernetes.Interface, query string, items ...string) (*v1alpha1.Batch, error) {
	t.Helper()
	body := `{"apiVersion": "pintle.dev/v1alpha1", "kind": "Batch", "spec": {"items": [` + strings.Join(items, ",") + `]}}`
	req := cs.CoreV1().RESTClient().Post().AbsPath("/apis/pintle.dev/v1alpha1/batches").SetHeader("Content-Type", "application/json").Body([]byte(body))
	for _, q := range strings.Fields(query) {
		k, v, _ := strings.Cut(q, "=")
		req = req.Param(k, v)
	}
	res := req.SetHeader("Accept", "application/json").Do(t.Context())
	if err := res.Error(); err != nil {
		return nil, err
	}
	raw, err := res.Raw()
	must(t, err)
	b := &v1alpha1.Batch{}
	return b, json.Unmarshal(raw, b)
}

func item(verb, name, value string) string {
	return fmt.Sprintf(`{"verb": %q, "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": %q, "namespace": "batch"}, "data": {"a": %q}}}`, verb, name, value)
}

func remove(name string) string {
	return fmt.Sprintf(`{"verb": "delete", "apiVersion": "v1", "kind": "ConfigMap", "namespace": "batch", "name": %q}`, name)
}

func merge(name, value string) string {
	return fmt.Sprintf(`{"verb": "patch", "apiVersion": "v1", "kind": "ConfigMap", "namespace": "batch", "name": %q, "patchType": "application/merge-patch+json", "patch": {"data": {"b": %q}}}`, name, value)
}

// fixture is a server with namespace batch.
func batchServer(t *testing.T) (*kerneltest.Server, *commits, *kubernetes.Clientset) {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	must(t, err)
	written := &commits{Store: memory.New()}
	s := kerneltest.Start(t, kerneltest.Options{Table: table, Store: written, Config: func(*kernel.Config) {}})
	cs := kerneltest.Client(t, s.Admin())
	_, err = cs.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "batch"}}, metav1.CreateOptions{})
	must(t, err)
	// What every namespace gets is not the batch's.
	holds(t, func() error {
		_, err := cs.CoreV1().Namespaces().Get(t.Context(), "batch", metav1.GetOptions{})
		return err
	})
	written.take()
	return s, written, cs
}

// All writes of a batch are one commit at one revision, which watchers see as one; the
// answer has the objects.
func TestBatchWrites(t *testing.T) {
	_, written, cs := batchServer(t)
	one, err := post(t, cs, "", item("create", "a", "1"), item("create", "b", "1"), item("create", "c", "1"))
	must(t, err)
	if got := written.take(); len(got) != 1 || len(got[0]) != 3 || len(one.Status.Items) != 3 || one.Status.Items[2].Code != 201 {
		t.Fatalf("commits %v, answer %+v", got, one.Status)
	}
	w, err := cs.CoreV1().ConfigMaps("batch").Watch(t.Context(), metav1.ListOptions{ResourceVersion: one.ResourceVersion, FieldSelector: "metadata.name!=kube-root-ca.crt"})
	must(t, err)
	defer w.Stop()
	two, err := post(t, cs, "fieldManager=tester", item("update", "a", "2"), merge("b", "2"), remove("c"), item("apply", "d", "2"))
	must(t, err)
	if got := written.take(); len(got) != 1 || len(got[0]) != 4 {
		t.Errorf("commits %v", got)
	}
	if two.ResourceVersion == one.ResourceVersion || two.Status.Items[0].Code != 200 || two.Status.Items[3].Code != 201 {
		t.Errorf("answer %+v", two)
	}
	seen := 0
	for seen < 4 {
		m, ok := (<-w.ResultChan()).Object.(*corev1.ConfigMap)
		if !ok {
			t.Fatal("the watch ended")
		}
		switch m.ResourceVersion {
		case one.ResourceVersion: // told again: the watch began at a revision of several objects
		case two.ResourceVersion:
			seen++
		default:
			t.Errorf("%s at %s, want %s", m.Name, m.ResourceVersion, two.ResourceVersion)
		}
	}
	var d corev1.ConfigMap
	must(t, json.Unmarshal(two.Status.Items[3].Object.Raw, &d))
	if d.Data["a"] != "2" || d.ResourceVersion != two.ResourceVersion || len(d.ManagedFields) != 1 || d.ManagedFields[0].Manager != "tester" || d.APIVersion != "v1" {
		t.Errorf("applied %+v", d)
	}
	dry, err := post(t, cs, "dryRun=All", item("create", "e", "3"), item("update", "a", "3"))
	must(t, err)
	if got := written.take(); got != nil || dry.ResourceVersion != "" || dry.Status.Items[0].Code != 201 || !strings.Contains(string(dry.Status.Items[1].Object.Raw), `"a":"3"`) {
		t.Errorf("dry run wrote %v, answer %+v", got, dry)
	}
	list, err := cs.Discovery().ServerResourcesForGroupVersion("pintle.dev/v1alpha1")
	must(t, err)
	for _, r := range list.APIResources {
		if r.Name == "batches" && fmt.Sprint(r.Verbs) != "[create]" {
			t.Errorf("discovery: %v", r.Verbs)
		}
	}
}

// One item that is refused refuses all: the error has its code, and the causes its index.
func TestBatchRefused(t *testing.T) {
	s, written, cs := batchServer(t)
	_, err := post(t, cs, "", item("create", "old", "1"))
	must(t, err)
	must(t, cs.CoreV1().RESTClient().Post().AbsPath("/apis/rbac.authorization.k8s.io/v1/namespaces/batch/roles").Body(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "some"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create", "patch"}}}}).Do(t.Context()).Error())
	_, err = cs.RbacV1().RoleBindings("batch").Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "some"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "some"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "u"}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = cs.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "batch"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"pintle.dev"}, Resources: []string{"batches"}, Verbs: []string{"create"}}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = cs.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "batch"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "batch"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "u"}}}, metav1.CreateOptions{})
	must(t, err)
	user := func(c *rest.Config) *kubernetes.Clientset { return kerneltest.Client(t, c) }(s.User(t, "u"))
	// Its rights are there once one batch passes.
	holds(t, func() error {
		_, err := post(t, user, "", item("create", "mine", "1"))
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	written.take()
	tooMany := make([]string, v1alpha1.MaxBatchItems+1)
	for i := range tooMany {
		tooMany[i] = item("create", fmt.Sprintf("m%d", i), "1")
	}
	for name, tc := range map[string]struct {
		as    kubernetes.Interface
		query string
		items []string
		code  int32
		field string
		text  string
	}{
		"a conflict in the last": {as: cs, items: []string{item("create", "x", "1"), merge("old", "1"), item("create", "old", "2")}, code: 409, field: "spec.items[2]"},
		"invalid in the middle":  {as: cs, items: []string{item("create", "x", "1"), item("create", "X_Y", "1"), item("create", "z", "1")}, code: 422, field: "spec.items[1]"},
		"denied by admission": {as: cs, items: []string{item("create", "x", "1"), strings.ReplaceAll(item("create", "y", "1"), `"namespace": "batch"`, `"namespace": "nowhere"`), item("create", "z", "1")},
			code: 404, field: "spec.items[1]"},
		"no right to one": {as: user, items: []string{item("create", "x", "1"), remove("old")}, code: 403, field: "spec.items[1]"},
		"no right to create by apply": {as: user, query: "fieldManager=t", items: []string{strings.Replace(item("apply", "x", "1"), "ConfigMap", "Secret", 1)},
			code: 403, field: "spec.items[0]"},
		"a namespace and what is in it": {as: cs, items: []string{`{"verb": "create", "object": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}}}`,
			strings.ReplaceAll(item("create", "y", "1"), `"namespace": "batch"`, `"namespace": "fresh"`)}, code: 404, field: "spec.items[1]", text: "create the namespace before"},
		"strict":                          {as: cs, query: "fieldValidation=Strict", items: []string{strings.Replace(item("create", "x", "1"), `"data"`, `"dota"`, 1)}, code: 400, field: "spec.items[0]", text: "unknown field"},
		"one object twice":                {as: cs, items: []string{item("create", "x", "1"), item("create", "x", "2")}, code: 409, field: "spec.items[1]"},
		"a namespace that a kind has not": {as: cs, items: []string{`{"verb": "delete", "apiVersion": "v1", "kind": "Namespace", "name": "batch", "namespace": "batch"}`}, code: 422, field: "spec.items[0]", text: "spec.items[0].namespace"},
		"unknown kind":                    {as: cs, items: []string{`{"verb": "delete", "apiVersion": "x.io/v1", "kind": "W", "name": "w"}`}, code: 404, field: "spec.items[0]"},
		"unknown verb":                    {as: cs, items: []string{item("get", "x", "1")}, code: 422, field: "spec.items[0]", text: "spec.items[0].verb"},
		"no object":                       {as: cs, items: []string{`{"verb": "create", "apiVersion": "v1", "kind": "ConfigMap"}`}, code: 422, field: "spec.items[0]", text: "spec.items[0].object"},
		"a batch in it":                   {as: cs, items: []string{`{"verb": "create", "object": {"apiVersion": "pintle.dev/v1alpha1", "kind": "Batch", "spec": {"items": []}}}`}, code: 400, field: "spec.items[0]"},
		"nothing":                         {as: cs, code: 422, field: "spec.items"},
		"too many":                        {as: cs, items: tooMany, code: 422, field: "spec.items"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := post(t, tc.as, tc.query, tc.items...)
			var st *apierrors.StatusError
			if !errors.As(err, &st) || st.ErrStatus.Code != tc.code {
				t.Fatalf("%+v %v, want a %d", b, err, tc.code)
			}
			if d := st.ErrStatus.Details; d == nil || len(d.Causes) != 1 || d.Causes[0].Field != tc.field || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v: %+v, want %s and %q", err, d, tc.field, tc.text)
			}
			if got := written.take(); got != nil {
				t.Errorf("wrote %v", got)
			}
		})
	}
}
