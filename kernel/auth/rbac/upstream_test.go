package rbac

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// more is what a default role allows beyond upstream's, with the reason.
var more = map[string]map[string]string{
	"/system:node": {
		"get,list,watch namespaces":                      "the node's DNS server, part of the agent here, says which names there are",
		"list persistentvolumes":                         "the agent follows the local volumes of its node, and the authorizer shows it no others",
		"watch persistentvolumes":                        "the same",
		"patch persistentvolumes":                        "it lets them go once it has removed their data; admission lets it change nothing else",
		"get,list,watch endpointslices.discovery.k8s.io": "the node's balancer and DNS server are part of the agent here",
	},
}

// moreSubjects are bound to a default role beyond those that upstream binds.
var moreSubjects = map[string]string{
	"/system:node-bootstrapper Group/system:bootstrappers":                                                   "whoever installs upstream binds it; here nodes join without an installer",
	"/system:certificates.k8s.io:certificatesigningrequests:nodeclient Group/system:bootstrappers":           "the same: a node that joins gets its certificate",
	"/system:certificates.k8s.io:certificatesigningrequests:selfnodeclient Group/system:nodes":               "the same: a node renews its certificate",
	"/system:certificates.k8s.io:kubelet-serving-approver ServiceAccount/kube-system/certificate-controller": "here the server approves certificates for serving, too, once it has checked their addresses",
}

// ownRoles begin with this, and have nothing of the name upstream.
const ownRoles = "system:pintle:"

// brought are roles that upstream's extension API servers bring, of what is built in here.
var brought = map[string]bool{"/system:aggregated-metrics-reader": true}

// upstreamRole is what a role of upstream's allows with the feature gates at their
// defaults, and with all that its test data switches on.
type upstreamRole struct {
	least, most map[string]bool
	aggregated  bool
}

// TestDefaultsAreUpstreams compares the default policy with the test data of
// upstream's: what it allows, to whom it is given, and what is missing.
func TestDefaultsAreUpstreams(t *testing.T) {
	dir := testdata(t)
	roles, subjects := map[string]upstreamRole{}, map[string]bool{}
	for _, file := range []string{"cluster-roles.yaml", "controller-roles.yaml", "namespace-roles.yaml"} {
		for _, r := range read[rbacv1.ClusterRole](t, filepath.Join(dir, file)) { // a Role is one with a namespace
			allowed := permissions(r.Rules)
			roles[r.Namespace+"/"+r.Name] = upstreamRole{allowed, allowed, r.AggregationRule != nil}
		}
	}
	for _, r := range read[rbacv1.ClusterRole](t, filepath.Join(dir, "cluster-roles-featuregates.yaml")) {
		x := roles["/"+r.Name]
		x.most, x.aggregated = permissions(r.Rules), r.AggregationRule != nil
		roles["/"+r.Name] = x
	}
	for _, file := range []string{"cluster-role-bindings.yaml", "controller-role-bindings.yaml", "namespace-role-bindings.yaml"} {
		for _, b := range read[rbacv1.RoleBinding](t, filepath.Join(dir, file)) {
			note(subjects, b.Namespace, b.RoleRef.Name, b.Subjects)
		}
	}
	p, err := DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	ours, bound := map[string]map[string]bool{}, map[string]bool{}
	for _, r := range p.ClusterRoles {
		ours["/"+r.Name] = permissions(r.Rules)
	}
	for _, r := range p.Roles {
		ours[r.Namespace+"/"+r.Name] = permissions(r.Rules)
	}
	for _, b := range p.ClusterRoleBindings {
		note(bound, "", b.RoleRef.Name, b.Subjects)
	}
	for _, b := range p.RoleBindings {
		note(bound, b.Namespace, b.RoleRef.Name, b.Subjects)
	}
	compareRoles(t, ours, roles)
	compareSubjects(t, bound, subjects)
}

func compareRoles(t *testing.T, ours map[string]map[string]bool, theirs map[string]upstreamRole) {
	for name, want := range theirs {
		got, ok := ours[name]
		if !ok {
			t.Errorf("role %s is missing", name)
			continue
		}
		if want.aggregated {
			continue // what it is made of is compared
		}
		excused := map[string]bool{}
		for what := range more[name] {
			verbs, object, _ := strings.Cut(what, " ")
			for verb := range strings.SplitSeq(verbs, ",") {
				if !got[verb+" "+object] || want.most[verb+" "+object] {
					t.Errorf("role %s: the exception %q is none any more", name, what)
				}
				excused[verb+" "+object] = true
			}
		}
		for _, what := range slices.Sorted(maps.Keys(want.least)) {
			if !got[what] {
				t.Errorf("role %s lacks %s", name, what)
			}
		}
		for _, what := range slices.Sorted(maps.Keys(got)) {
			if !want.most[what] && !excused[what] {
				t.Errorf("role %s allows %s beyond upstream's", name, what)
			}
		}
	}
	for name := range ours {
		if _, ok := theirs[name]; !ok && !brought[name] && !strings.Contains(name, "/"+ownRoles) {
			t.Errorf("role %s is none of upstream's, and not named as one of ours", name)
		}
	}
}

func compareSubjects(t *testing.T, ours, theirs map[string]bool) {
	for s := range theirs {
		if !ours[s] {
			t.Errorf("upstream binds %s", s)
		}
	}
	for s := range ours {
		if !theirs[s] && moreSubjects[s] == "" && !strings.Contains(s, "/"+ownRoles) {
			t.Errorf("upstream does not bind %s", s)
		}
	}
	for s := range moreSubjects {
		if !ours[s] || theirs[s] {
			t.Errorf("the exception %q is none any more", s)
		}
	}
}

// note adds each subject of a role.
func note(to map[string]bool, namespace, role string, subjects []rbacv1.Subject) {
	for _, s := range subjects {
		to[fmt.Sprintf("%s/%s %s", namespace, role, strings.ReplaceAll(strings.Join([]string{s.Kind, s.Namespace, s.Name}, "/"), "//", "/"))] = true
	}
}

// permissions are single ones: "get pods", "update leases.coordination.k8s.io=name".
func permissions(rules []rbacv1.PolicyRule) map[string]bool {
	out := map[string]bool{}
	for _, r := range rules {
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range r.Verbs {
			for _, url := range r.NonResourceURLs {
				out[verb+" "+url] = true
			}
			for _, group := range r.APIGroups {
				for _, res := range r.Resources {
					for _, name := range names {
						what := verb + " " + res
						if group != "" {
							what += "." + group
						}
						if name != "" {
							what += "=" + name
						}
						out[what] = true
					}
				}
			}
		}
	}
	return out
}

// testdata is that of upstream's policy, in the module of the version that Pintle
// speaks. Only the kinds may import that module; its data is read here.
func testdata(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(string(bytes.TrimSpace(out)), "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata")
}

// read reads a List.
func read[T any](t *testing.T, file string) []T {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []runtime.RawExtension }
	if err := yaml.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, raw := range list.Items {
		var x T
		if err := yaml.Unmarshal(raw.Raw, &x); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		t.Fatalf("%s: nothing", file)
	}
	return out
}
