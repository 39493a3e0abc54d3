package selection

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// pods is a kind whose objects are selected by node, under two spellings.
func pods(t *testing.T) Kind {
	t.Helper()
	scheme := runtime.NewScheme()
	err := scheme.AddFieldLabelConversionFunc(corev1.SchemeGroupVersion.WithKind("Pod"), func(label, value string) (string, string, error) {
		switch label {
		case "metadata.namespace":
			return label, value, nil
		case "spec.host":
			return "spec.nodeName", value, nil
		}
		return "", "", fmt.Errorf("field label not supported: %s", label)
	})
	if err != nil {
		t.Fatal(err)
	}
	return Kind{Types: scheme, Definition: &resource.Definition{Resource: "pods", Kind: "Pod", Namespaced: true, Strategy: resource.Strategy{
		FieldLabels: []string{"spec.nodeName", "status.phase"},
		Fields: func(o runtime.Object) fields.Set {
			p := o.(*corev1.Pod)
			return fields.Set{"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase)}
		},
	}}}
}

// listed is a Source in the order of keys.
type listed []*watch.Object

func (listed) Revision() int64 { return 7 }

func (l listed) Ascend(namespace, after string, fn func(*watch.Object) bool) {
	for _, o := range l {
		if (namespace == "" || namespace == o.Namespace) && o.Key > after && !fn(o) {
			return
		}
	}
}

func pod(namespace, name, node, app string) *watch.Object {
	return &watch.Object{Key: "/" + namespace + "/" + name, Namespace: namespace, Name: name, Obj: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}}, Spec: corev1.PodSpec{NodeName: node}}}
}

func TestSelect(t *testing.T) {
	k := pods(t)
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	all := listed{pod("a", "one", "n1", "web"), pod("a", "two", "", "db"), pod("b", "one", "n1", "db"), pod("b", "two", "n2", "web")}
	for _, x := range []struct {
		namespace, name, labels, fields string
		want                            string
		whole                           bool
	}{
		{want: "a/one a/two b/one b/two", whole: true},
		{namespace: "b", want: "b/one b/two", whole: true},
		{name: "one", namespace: "b", want: "b/one"},
		{labels: "app=web", want: "a/one b/two"},
		{fields: "spec.nodeName=n1", want: "a/one b/one"},
		{fields: "spec.host=n1", want: "a/one b/one"},
		{fields: "spec.nodeName=", want: "a/two"},
		{fields: "spec.nodeName!=n1", want: "a/two b/two"},
		{fields: "spec.nodeName=n1,metadata.namespace=b", want: "b/one"},
		{namespace: "a", fields: "metadata.namespace=b", want: ""},
		{fields: "metadata.name=two", labels: "app=db", want: "a/two"},
		{fields: "metadata.name=", want: ""},
		{fields: "metadata.namespace=No_name", want: ""},
	} {
		s, err := Parse(k, gvk, x.namespace, x.name, metav1.ListOptions{LabelSelector: x.labels, FieldSelector: x.fields})
		if err != nil {
			t.Errorf("%+v: %v", x, err)
			continue
		}
		var got []string
		if !s.None() {
			s.Ascend(all, "", func(o *watch.Object) bool { got = append(got, o.Namespace+"/"+o.Name); return true })
		}
		if strings.Join(got, " ") != x.want || s.Whole() != x.whole {
			t.Errorf("%+v: selected %q, whole %t", x, got, s.Whole())
		}
		// A watch sees what a list does.
		f := s.Filter()
		for _, o := range all {
			in := (f.Namespace == "" || f.Namespace == o.Namespace) && (f.Name == "" || f.Name == o.Name) && (f.Match == nil || f.Match(o)) &&
				(f.Field == "" || k.Strategy.Fields(o.Obj).Get(f.Field) == f.Value || f.Field == "metadata.name" && o.Name == f.Value)
			if in != slices.Contains(got, o.Namespace+"/"+o.Name) {
				t.Errorf("%+v: the watch's filter says %t of %s", x, in, o.Key)
			}
		}
	}
}

// many are n different values.
func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("v", i)
	}
	return out
}

func TestSelectRefuses(t *testing.T) {
	k := pods(t)
	for _, o := range []metav1.ListOptions{
		{LabelSelector: "a in"}, {FieldSelector: "spec.nodeName"}, {FieldSelector: "spec.other=x"}, {FieldSelector: "metadata.name=other"},
		{LabelSelector: "a in (" + strings.Join(many(maxTerms+1), ",") + ")"},
	} {
		if _, err := Parse(k, corev1.SchemeGroupVersion.WithKind("Pod"), "", "one", o); !apierrors.IsBadRequest(err) {
			t.Errorf("%.60v: %v, want BadRequest", o, err)
		}
	}
}

func TestTokens(t *testing.T) {
	const prefix = "/registry/pods/"
	token := EncodeToken(prefix+"a/one", prefix, 7)
	if start, rev, err := DecodeToken(token, prefix); err != nil || start != prefix+"a/one\x00" || rev != 7 {
		t.Errorf("start %q, revision %d, %v", start, rev, err)
	}
	for what, bad := range map[string]string{
		"no base64": "%", "no JSON": "eA", "long": strings.Repeat("a", maxTokenBytes+1),
		"no revision": EncodeToken(prefix+"a", prefix, 0), "a way out": EncodeToken(prefix+"../secrets/x", prefix, 7),
	} {
		if start, _, err := DecodeToken(bad, prefix); err == nil {
			t.Errorf("%s: accepted, start %q", what, start)
		}
	}
}
