package kerneltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Table is a small table of real kinds: those that the control plane itself
// needs and some that tests of the kernel write. They have no validation,
// defaults or columns beyond what is written here; what a kind means is tested
// where the real table is, in plugins/kinds.
func Table() (*resource.Table, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	t := &resource.Table{
		Scheme:        scheme,
		TypeConverter: managedfields.NewDeducedTypeConverter(),
		GroupOrder:    []string{"", "apps"},
		Definitions: []*resource.Definition{
			stored(corev1.SchemeGroupVersion, "Namespace", "namespaces", false),
			nodes(), pod(), configMap(), secret(), serviceAccount(),
			stored(corev1.SchemeGroupVersion, "Service", "services", true),
			deployment(), csr(), leases(),
			stored(discoveryv1.SchemeGroupVersion, "EndpointSlice", "endpointslices", true),
			stored(networkingv1.SchemeGroupVersion, "IPAddress", "ipaddresses", false),
			stored(rbacv1.SchemeGroupVersion, "ClusterRole", "clusterroles", false),
			stored(rbacv1.SchemeGroupVersion, "ClusterRoleBinding", "clusterrolebindings", false),
			stored(rbacv1.SchemeGroupVersion, "Role", "roles", true),
			stored(rbacv1.SchemeGroupVersion, "RoleBinding", "rolebindings", true),
			virtual(authenticationv1.SchemeGroupVersion, "TokenReview", "tokenreviews", false),
			virtual(authenticationv1.SchemeGroupVersion, "SelfSubjectReview", "selfsubjectreviews", false),
			virtual(authorizationv1.SchemeGroupVersion, "SubjectAccessReview", "subjectaccessreviews", false),
			virtual(authorizationv1.SchemeGroupVersion, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
			virtual(authorizationv1.SchemeGroupVersion, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
			virtual(authorizationv1.SchemeGroupVersion, "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
		},
	}
	t.Definitions = append(t.Definitions, v1alpha1.Definitions()...)
	return t, t.Index()
}

var allVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

func stored(gv schema.GroupVersion, kind, res string, namespaced bool) *resource.Definition {
	return &resource.Definition{
		Group: gv.Group, Resource: res, Singular: singular(kind), Kind: kind, ListKind: kind + "List", Namespaced: namespaced,
		Versions: []string{gv.Version}, StorageVersion: gv.Version, KeyPrefix: "/registry/" + res, Verbs: allVerbs,
		Strategy: resource.Strategy{AllowUnconditionalUpdate: true},
	}
}

func singular(kind string) string {
	b := []byte(kind)
	for i := range b {
		if b[i] >= 'A' && b[i] <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

func virtual(gv schema.GroupVersion, kind, res string, namespaced bool) *resource.Definition {
	d := stored(gv, kind, res, namespaced)
	d.Virtual, d.KeyPrefix, d.ListKind, d.Verbs = true, "", "", []string{"create"}
	return d
}

var partVerbs = []string{"get", "patch", "update"}

func nodes() *resource.Definition {
	d := stored(corev1.SchemeGroupVersion, "Node", "nodes", false)
	d.Subresources = []resource.Subresource{
		{Name: "proxy", Style: resource.StyleConnect, Verbs: []string{"create", "delete", "get", "patch", "update"}, Connect: nodeProxy},
		{Name: "status", Style: resource.StyleStatus, Verbs: partVerbs},
	}
	return d
}

func pod() *resource.Definition {
	d := stored(corev1.SchemeGroupVersion, "Pod", "pods", true)
	d.ShortNames, d.Categories = []string{"po"}, []string{"all"}
	d.Strategy.FieldLabels = []string{"spec.nodeName", "status.phase"}
	d.Strategy.Fields = func(o runtime.Object) fields.Set {
		p := o.(*corev1.Pod)
		return fields.Set{"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase)}
	}
	d.Strategy.Validate = func(_ context.Context, o runtime.Object) field.ErrorList {
		if len(o.(*corev1.Pod).Spec.Containers) == 0 {
			return field.ErrorList{field.Required(field.NewPath("spec", "containers"), "")}
		}
		return nil
	}
	d.Strategy.Warnings = func(_ context.Context, o, _ runtime.Object) []string {
		if o.(*corev1.Pod).Annotations["warn"] != "" {
			return []string{"this pod asked for a warning"}
		}
		return nil
	}
	stream := []string{"create", "get"}
	d.Subresources = []resource.Subresource{
		{Name: "attach", Style: resource.StyleConnect, Verbs: stream, Connect: podStream("attach")},
		{Name: "exec", Style: resource.StyleConnect, Verbs: stream, Connect: podStream("exec")},
		{Name: "log", Style: resource.StyleConnect, Verbs: []string{"get"}, Connect: podLog},
		{Name: "portforward", Style: resource.StyleConnect, Verbs: stream, Connect: podPortForward},
		{Name: "proxy", Style: resource.StyleConnect, Verbs: []string{"create", "delete", "get", "patch", "update"}, Connect: podProxy},
		{Name: "status", Style: resource.StyleStatus, Verbs: partVerbs},
	}
	return d
}

func configMap() *resource.Definition {
	d := stored(corev1.SchemeGroupVersion, "ConfigMap", "configmaps", true)
	d.ShortNames = []string{"cm"}
	return d
}

func secret() *resource.Definition {
	return stored(corev1.SchemeGroupVersion, "Secret", "secrets", true)
}

func serviceAccount() *resource.Definition {
	d := stored(corev1.SchemeGroupVersion, "ServiceAccount", "serviceaccounts", true)
	d.Subresources = []resource.Subresource{{Name: "token", Style: resource.StyleAction, Verbs: []string{"create"},
		Kind: authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")}}
	return d
}

func leases() *resource.Definition {
	d := stored(coordinationv1.SchemeGroupVersion, "Lease", "leases", true)
	d.Strategy.AllowCreateOnUpdate = true
	return d
}

func deployment() *resource.Definition {
	d := stored(appsv1.SchemeGroupVersion, "Deployment", "deployments", true)
	d.ShortNames, d.Categories = []string{"deploy"}, []string{"all"}
	d.Subresources = []resource.Subresource{
		{Name: "scale", Style: resource.StyleProjection, Verbs: partVerbs, Kind: autoscalingv1.SchemeGroupVersion.WithKind("Scale"), Get: getScale, Set: setScale},
		{Name: "status", Style: resource.StyleStatus, Verbs: partVerbs},
	}
	return d
}

func getScale(_ context.Context, o runtime.Object) (runtime.Object, error) {
	d := o.(*appsv1.Deployment)
	s := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace, UID: d.UID, ResourceVersion: d.ResourceVersion}}
	if d.Spec.Replicas != nil {
		s.Spec.Replicas = *d.Spec.Replicas
	}
	return s, nil
}

func setScale(_ context.Context, o, sub runtime.Object) error {
	n := sub.(*autoscalingv1.Scale).Spec.Replicas
	o.(*appsv1.Deployment).Spec.Replicas = &n
	return nil
}

func csr() *resource.Definition {
	d := stored(certificatesv1.SchemeGroupVersion, "CertificateSigningRequest", "certificatesigningrequests", false)
	d.Strategy.Requested = func(o runtime.Object, u user.Info) {
		r := o.(*certificatesv1.CertificateSigningRequest)
		r.Status = certificatesv1.CertificateSigningRequestStatus{}
		r.Spec.Username, r.Spec.Groups, r.Spec.UID = u.GetName(), u.GetGroups(), u.GetUID()
		r.Spec.Extra = map[string]certificatesv1.ExtraValue{}
		for k, v := range u.GetExtra() {
			r.Spec.Extra[k] = v
		}
	}
	d.Subresources = []resource.Subresource{
		{Name: "approval", Style: resource.StylePart, Verbs: partVerbs},
		{Name: "status", Style: resource.StyleStatus, Verbs: partVerbs},
	}
	return d
}

// agent is where a node's agent listens: the address and port that its Node
// object reports.
func agent(ctx context.Context, r resource.Reader, name string) (*resource.Target, error) {
	o, err := r.Get(ctx, schema.GroupResource{Resource: "nodes"}, "", name)
	if err != nil {
		return nil, err
	}
	n := o.(*corev1.Node)
	if len(n.Status.Addresses) == 0 {
		return nil, apierrors.NewServiceUnavailable("node " + name + " has no address")
	}
	return &resource.Target{Scheme: "https", Node: name,
		Host: fmt.Sprintf("%s:%d", n.Status.Addresses[0].Address, n.Status.DaemonEndpoints.KubeletEndpoint.Port)}, nil
}

func podAgent(ctx context.Context, r resource.Reader, p *corev1.Pod) (*resource.Target, error) {
	if p.Spec.NodeName == "" {
		return nil, apierrors.NewBadRequest("pod " + p.Name + " does not have a host assigned")
	}
	return agent(ctx, r, p.Spec.NodeName)
}

func podStream(kind string) func(context.Context, resource.Reader, runtime.Object, string, map[string][]string) (*resource.Target, error) {
	return func(ctx context.Context, r resource.Reader, o runtime.Object, _ string, q map[string][]string) (*resource.Target, error) {
		p := o.(*corev1.Pod)
		t, err := podAgent(ctx, r, p)
		if err != nil {
			return nil, err
		}
		out := url.Values{}
		for from, to := range map[string]string{"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"} {
			if v := url.Values(q).Get(from); v == "true" || v == "1" {
				out.Set(to, "1")
			}
		}
		out["command"] = q["command"]
		t.Path = "/" + kind + "/" + p.Namespace + "/" + p.Name + "/" + p.Spec.Containers[0].Name
		t.Query, t.Upgrade = out, true
		return t, nil
	}
}

func podPortForward(ctx context.Context, r resource.Reader, o runtime.Object, _ string, q map[string][]string) (*resource.Target, error) {
	p := o.(*corev1.Pod)
	t, err := podAgent(ctx, r, p)
	if err != nil {
		return nil, err
	}
	t.Path, t.Query, t.Upgrade = "/portForward/"+p.Namespace+"/"+p.Name, q, true
	return t, nil
}

func podLog(ctx context.Context, r resource.Reader, o runtime.Object, _ string, q map[string][]string) (*resource.Target, error) {
	p := o.(*corev1.Pod)
	t, err := podAgent(ctx, r, p)
	if err != nil {
		return nil, err
	}
	t.Path, t.Query = "/containerLogs/"+p.Namespace+"/"+p.Name+"/"+p.Spec.Containers[0].Name, q
	return t, nil
}

func podProxy(ctx context.Context, _ resource.Reader, o runtime.Object, path string, _ map[string][]string) (*resource.Target, error) {
	p := o.(*corev1.Pod)
	scheme, port := resource.ProxyPort(ctx)
	return &resource.Target{Scheme: cmp.Or(scheme, "http"), Host: p.Status.PodIP + ":" + port, Path: path}, nil
}

func nodeProxy(ctx context.Context, r resource.Reader, o runtime.Object, path string, _ map[string][]string) (*resource.Target, error) {
	t, err := agent(ctx, r, o.(*corev1.Node).Name)
	if err == nil {
		t.Path = path
	}
	return t, err
}
