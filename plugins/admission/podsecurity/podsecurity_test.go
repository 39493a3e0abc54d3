package podsecurity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/podsecurity"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

const prefix = "pod-security.kubernetes.io/"

// object is one of any kind, as JSON has it.
type object struct {
	resource string
	Metadata m `json:"metadata"`
	Spec     m `json:"spec,omitempty"`
}

func (o *object) APIResource() string { return o.resource }

// labels are those of a namespace, without their prefix.
func labels(list ...string) m {
	out := m{"app": "x"}
	for _, l := range list {
		key, value, _ := strings.Cut(l, "=")
		out[prefix+key] = value
	}
	return out
}

func store(t *testing.T, ns m, pods ...*object) *sdktest.Store {
	t.Helper()
	s, err := sdktest.NewStore(&object{resource: "v1/namespaces", Metadata: m{"name": "ns", "labels": ns}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if err := s.Client().Create(p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// good is a spec that every level lets in, changed.
func good(change func(spec, container m)) m {
	c := m{"name": "c", "image": "i", "securityContext": m{"allowPrivilegeEscalation": false, "capabilities": m{"drop": []any{"ALL"}}}}
	spec := m{"securityContext": m{"runAsNonRoot": true, "seccompProfile": m{"type": "RuntimeDefault"}}, "containers": []any{c}}
	if change != nil {
		change(spec, c)
	}
	return spec
}

func context(of m) m { return of["securityContext"].(m) }

// Each check of each level, in upstream's words, and as of the version in which it
// changed.
func TestChecks(t *testing.T) {
	type change = func(spec, c m)
	for _, tc := range []struct {
		name, standard string
		change         change
		want           string
	}{
		{"good", "restricted", nil, ""},
		{"anything", "privileged", func(s, _ m) { s["hostPID"] = true }, ""},
		{"host namespaces", "baseline", func(s, _ m) { s["hostPID"], s["hostNetwork"] = true, true }, "host namespaces (hostNetwork=true, hostPID=true)"},
		{"privileged", "baseline", func(_, c m) { context(c)["privileged"] = true }, `privileged (container "c" must not set securityContext.privileged=true)`},
		{"a capability", "baseline", func(_, c m) { context(c)["capabilities"] = m{"add": []any{"SYS_TIME", "KILL", "NET_RAW"}} },
			`non-default capabilities (container "c" must not include "NET_RAW", "SYS_TIME" in securityContext.capabilities.add)`},
		{"a path of the host", "baseline", func(s, _ m) { s["volumes"] = []any{m{"name": "v", "hostPath": m{"path": "/"}}} }, `hostPath volumes (volume "v")`},
		{"a port of the host", "baseline", func(_, c m) { c["ports"] = []any{m{"hostPort": 80}, m{"hostPort": 443}, m{"containerPort": 1}} }, `hostPort (container "c" uses hostPorts 443, 80)`},
		{"a probe of another host", "baseline", func(_, c m) { c["livenessProbe"] = m{"httpGet": m{"host": "a.b"}} }, `probe or lifecycle host (container "c" uses probe or lifecycle host "a.b")`},
		{"which is new", "baseline:v1.33", func(_, c m) { c["livenessProbe"] = m{"httpGet": m{"host": "a.b"}} }, ""},
		{"proc", "baseline", func(_, c m) { context(c)["procMount"] = "Unmasked" }, `procMount (container "c" must not set securityContext.procMount to "Unmasked")`},
		{"proc, with users of its own", "baseline", func(s, c m) { s["hostUsers"], context(c)["procMount"] = false, "Unmasked" }, ""},
		{"which restricted forbids", "restricted", func(s, c m) { s["hostUsers"], context(c)["procMount"] = false, "Unmasked" }, `procMount (container "c" must not set securityContext.procMount to "Unmasked")`},
		{"SELinux", "baseline", func(s, c m) {
			context(s)["seLinuxOptions"], context(c)["seLinuxOptions"] = m{"type": "odd"}, m{"user": "u", "role": "r"}
		},
			`seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "odd"; user may not be set; role may not be set)`},
		{"AppArmor", "baseline", func(s, c m) {
			context(s)["appArmorProfile"], context(c)["appArmorProfile"] = m{"type": "Unconfined"}, m{"type": "Localhost"}
		},
			`forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")`},
		{"seccomp", "baseline", func(_, c m) { context(c)["seccompProfile"] = m{"type": "Unconfined"} }, `seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")`},
		{"a sysctl", "baseline", func(s, _ m) {
			context(s)["sysctls"] = []any{m{"name": "kernel.msgmax"}, m{"name": "net.ipv4.tcp_rmem"}}
		}, "forbidden sysctls (kernel.msgmax)"},
		{"before it was safe", "baseline:v1.31", func(s, _ m) { context(s)["sysctls"] = []any{m{"name": "net.ipv4.tcp_rmem"}} }, "forbidden sysctls (net.ipv4.tcp_rmem)"},
		{"a Windows host process", "baseline", func(s, _ m) { context(s)["windowsOptions"] = m{"hostProcess": true} }, "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"},
		{"escalation", "restricted", func(_, c m) { delete(context(c), "allowPrivilegeEscalation") }, `allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)`},
		{"capabilities kept and added", "restricted", func(_, c m) { context(c)["capabilities"] = m{"add": []any{"KILL"}} },
			`unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not include "KILL" in securityContext.capabilities.add)`},
		{"a type of volume", "restricted", func(s, _ m) {
			s["volumes"] = []any{m{"name": "v", "nfs": m{"server": "s"}}, m{"name": "w", "emptyDir": m{}}}
		},
			`restricted volume types (volume "v" uses restricted volume type "nfs")`},
		{"root", "restricted", func(s, _ m) { delete(context(s), "runAsNonRoot") }, `runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)`},
		{"root on purpose", "restricted", func(_, c m) { context(c)["runAsNonRoot"] = false }, `runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)`},
		{"user 0", "restricted", func(s, _ m) { context(s)["runAsUser"] = 0 }, "runAsUser=0 (pod must not set runAsUser=0)"},
		{"no seccomp", "restricted", func(s, _ m) { delete(context(s), "seccompProfile") },
			`seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`},
		{"several", "restricted", func(s, c m) { s["hostIPC"], context(c)["allowPrivilegeEscalation"] = true, true },
			`host namespaces (hostIPC=true), allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)`},
		{"for Windows", "restricted", func(s, c m) {
			s["os"], c["securityContext"] = m{"name": "windows"}, m{}
			delete(context(s), "seccompProfile")
		}, ""},
		{"an init container and an ephemeral one", "baseline", func(s, c m) {
			s["initContainers"] = []any{m{"name": "i", "securityContext": m{"privileged": true}}}
			s["ephemeralContainers"] = []any{m{"name": "e", "securityContext": m{"privileged": true}}}
		}, `privileged (containers "i", "e" must not set securityContext.privileged=true)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			level, version, ok := strings.Cut(tc.standard, ":")
			if !ok {
				version = "latest"
			}
			want := tc.want
			if want != "" {
				want = `violates PodSecurity "` + level + ":" + version + `": ` + want
			}
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "pod-security", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns",
				Object: m{"spec": good(tc.change)}, Store: store(t, labels("enforce="+level, "enforce-version="+version))})
			if v.Message != want || v.Forbidden != (want != "") || len(v.Warnings) > 0 {
				t.Errorf("forbidden %v: %s\nwarnings %q; want %s", v.Forbidden, v.Message, v.Warnings, want)
			}
		})
	}
}

// What is enforced, audited, warned about, and of whom.
func TestModes(t *testing.T) {
	host := m{"spec": good(func(s, _ m) { s["hostPID"] = true })}
	template := m{"spec": m{"template": host}}
	const fault = "host namespaces (hostPID=true)"
	for _, tc := range []struct {
		name     string
		config   string
		labels   m
		request  sdktest.Request
		message  string
		warnings []string
		notes    []string
	}{
		{"nothing", "", labels(), sdktest.Request{Resource: "v1/pods", Object: host}, "", nil, nil},
		{"enforce", "", labels("enforce=baseline"), sdktest.Request{Resource: "v1/pods", Object: host}, `violates PodSecurity "baseline:latest": ` + fault, nil,
			[]string{prefix + "enforce-policy", "baseline:latest"}},
		{"warn and audit", "", labels("warn=baseline", "audit=restricted", "audit-version=v1.30"), sdktest.Request{Resource: "v1/pods", Object: host}, "", []string{`would violate PodSecurity "baseline:latest": ` + fault},
			[]string{prefix + "enforce-policy", "privileged:latest", prefix + "audit-violations", `would violate PodSecurity "restricted:v1.30": ` + fault}},
		{"a workload is warned about what is enforced", "", labels("enforce=baseline", "enforce-version=v1.30"), sdktest.Request{Resource: "apps/v1/deployments", Object: template}, "", []string{`would violate PodSecurity "baseline:v1.30": ` + fault}, nil},
		{"a cron job", "", labels("warn=baseline"), sdktest.Request{Resource: "batch/v1/cronjobs", Object: m{"spec": m{"jobTemplate": m{"spec": m{"template": host}}}}}, "", []string{`would violate PodSecurity "baseline:latest": ` + fault}, nil},
		{"a controller without a template", "", labels("warn=baseline"), sdktest.Request{Resource: "v1/replicationcontrollers", Object: m{"spec": m{}}}, "", nil, nil},
		{"by default", `{"defaults":{"enforce":"baseline","enforce-version":"v1.20"}}`, labels(), sdktest.Request{Resource: "v1/pods", Object: host}, `violates PodSecurity "baseline:v1.20": ` + fault, nil,
			[]string{prefix + "enforce-policy", "baseline:v1.20"}},
		{"otherwise than by default", `{"defaults":{"enforce":"baseline"}}`, labels("enforce=privileged"), sdktest.Request{Resource: "v1/pods", Object: host}, "", nil, nil},
		{"an exempt namespace", `{"exemptions":{"namespaces":["ns"]}}`, labels("enforce=baseline"), sdktest.Request{Resource: "v1/pods", Object: host}, "", nil, []string{prefix + "exempt", "namespace"}},
		{"an exempt user", `{"exemptions":{"usernames":["root"]}}`, labels("enforce=baseline"), sdktest.Request{Resource: "v1/pods", User: "root", Object: host}, "", nil, []string{prefix + "exempt", "user"}},
		{"an exempt runtime", `{"exemptions":{"runtimeClasses":["vm"]}}`, labels("enforce=baseline"), sdktest.Request{Resource: "v1/pods", Object: m{"spec": m{"hostPID": true, "runtimeClassName": "vm"}}}, "", nil, []string{prefix + "exempt", "runtimeClass"}},
		{"an update that matters not", "", labels("enforce=baseline"), sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Object: host, Old: host}, "", nil, nil},
		{"another image", "", labels("enforce=baseline"), sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Object: host, Old: m{"spec": m{"containers": []any{m{"name": "c", "image": "older"}}}}},
			`violates PodSecurity "baseline:latest": ` + fault, nil, []string{prefix + "enforce-policy", "baseline:latest"}},
		{"an unknown level is the strictest", "", labels("enforce=odd"), sdktest.Request{Resource: "v1/pods", Object: host}, `violates PodSecurity "restricted:latest": ` + fault, nil,
			[]string{prefix + "error", `Failed to parse policy: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "odd": must be one of privileged, baseline, restricted`, prefix + "enforce-policy", "restricted:latest"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.request.Namespace, tc.request.Store = "ns", store(t, tc.labels)
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "pod-security", tc.config), tc.request)
			if v.Message != tc.message || v.Forbidden != (tc.message != "") {
				t.Errorf("forbidden %v: %s, want %s", v.Forbidden, v.Message, tc.message)
			}
			if diff := cmp.Diff(tc.warnings, v.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.notes, v.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

// Labels of namespaces are checked, and what begins to be enforced is held against the
// pods that are there.
func TestNamespaces(t *testing.T) {
	pod := func(name, owner string, change func(spec, c m)) *object {
		p := &object{resource: "v1/pods", Metadata: m{"namespace": "ns", "name": name}, Spec: good(change)}
		if owner != "" {
			p.Metadata["ownerReferences"] = []any{m{"uid": owner, "controller": true}}
		}
		return p
	}
	host := func(s, _ m) { s["hostPID"] = true }
	pods := func() []*object {
		return []*object{pod("b", "r", host), pod("a", "r", host), pod("c", "", host), pod("d", "", nil), pod("e", "", func(s, _ m) { s["hostNetwork"], context(s)["runAsUser"] = true, 0 })}
	}
	ns := func(list m) m { return m{"metadata": m{"name": "ns", "labels": list}} }
	for _, tc := range []struct {
		name, config string
		now, old     m
		invalid      []admission.Fault
		warnings     []string
	}{
		{"new", "", ns(labels("enforce=baseline")), nil, nil, nil},
		{"new and wrong", "", ns(labels("enforce=odd", "warn-version=v1.01")), nil, []admission.Fault{
			{Field: "metadata.labels[" + prefix + "enforce]", Value: "odd", Detail: "must be one of privileged, baseline, restricted"},
			{Field: "metadata.labels[" + prefix + "warn-version]", Value: "v1.01", Detail: `must be "latest" or "v1.x"`}}, nil},
		{"as wrong as before", "", ns(labels("enforce=odd")), ns(labels("enforce=odd")), nil, nil},
		{"as strict as before", "", ns(labels("enforce=baseline", "warn=restricted")), ns(labels("enforce=baseline")), nil, nil},
		{"less strict", "", ns(labels("enforce=baseline")), ns(labels("enforce=restricted")), nil, nil},
		{"stricter", "", ns(labels("enforce=baseline")), ns(labels()), nil, []string{`existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"`,
			"a (and 3 other pods): host namespaces"}},
		{"the strictest", "", ns(labels("enforce=restricted", "enforce-version=v1.30")), ns(labels("enforce=baseline")), nil, []string{`existing pods in namespace "ns" violate the new PodSecurity enforce level "restricted:v1.30"`,
			"a (and 2 other pods): host namespaces", "e: host namespaces, runAsUser=0"}},
		{"exempt", `{"exemptions":{"namespaces":["ns"]}}`, ns(labels("enforce=baseline", "warn=restricted", "warn-version=v1.30")), nil, nil,
			[]string{`namespace "ns" is exempt from Pod Security, and the policy (enforce=baseline:latest, warn=restricted:v1.30) will be ignored`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := sdktest.Request{Operation: admission.Create, Resource: "v1/namespaces", Name: "ns", Object: tc.now, Store: store(t, labels(), pods()...)}
			if tc.old != nil {
				q.Operation, q.Old = admission.Update, tc.old
			}
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "pod-security", tc.config), q)
			if diff := cmp.Diff(tc.invalid, v.Invalid); diff != "" || v.Denied != (tc.invalid != nil) {
				t.Errorf("denied %v, invalid (-want +got):\n%s", v.Denied, diff)
			}
			if diff := cmp.Diff(tc.warnings, v.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Of many pods the first by name are looked at, and that it is not all of them is told;
// pods that may not be read are no reason to refuse.
func TestExistingPodsAreBounded(t *testing.T) {
	var pods []*object
	for i := range 3002 {
		pods = append(pods, &object{resource: "v1/pods", Metadata: m{"namespace": "ns", "name": fmt.Sprintf("p%05d", i)}, Spec: good(func(s, _ m) { s["hostPID"] = true })})
	}
	ask := func(s *sdktest.Store) []string {
		ns := func(list m) m { return m{"metadata": m{"name": "ns", "labels": list}} }
		v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "pod-security", ""), sdktest.Request{Operation: admission.Update, Resource: "v1/namespaces", Name: "ns",
			Object: ns(labels("enforce=baseline")), Old: ns(labels()), Store: s})
		if v.Denied {
			t.Errorf("denied: %s", v.Message)
		}
		return v.Warnings
	}
	s := store(t, labels(), pods...)
	if diff := cmp.Diff([]string{"new PodSecurity enforce level only checked against the first 3000 of 3002 existing pods",
		`existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"`, "p00000 (and 2999 other pods): host namespaces"}, ask(s)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	s.Forbidden = []string{"v1/pods"}
	if diff := cmp.Diff([]string{"failed to list pods while checking new PodSecurity enforce level"}, ask(s)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestConfigIsChecked(t *testing.T) {
	p, _ := sdk.Lookup("pod-security")
	for _, config := range []string{"{", `{"defaults":{"enforce":"odd"}}`, `{"defaults":{"enforced":"baseline"}}`} {
		if _, err := p.New([]byte(config)); err == nil {
			t.Errorf("config %s is accepted", config)
		}
	}
}

// Where nothing is asked for by default, only namespaces with labels are looked at.
func TestMatch(t *testing.T) {
	for config, want := range map[string]bool{"": true, `{"defaults":{"audit":"baseline"}}`: false} {
		points := sdktest.Open[*admission.Points](t, "pod-security", config)
		if got := len(points.Match[0].NamespaceLabels) > 0 && len(points.Match[1].NamespaceLabels) > 0; got != want {
			t.Errorf("config %s: asked by labels %v, want %v", config, got, want)
		}
	}
}
