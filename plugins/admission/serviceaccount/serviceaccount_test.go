package serviceaccount_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/serviceaccount"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestMutate(t *testing.T) {
	const path = "/var/run/secrets/kubernetes.io/serviceaccount"
	type m = map[string]any
	mounted := []any{m{"name": "own", "mountPath": path}}
	store := accounts(t)
	for _, tc := range []struct {
		name string
		pod  m
		want []string // paths that are set, with their value when it is text
	}{
		{"a plain pod", m{"spec": m{"containers": []any{m{"name": "c"}}}},
			[]string{"spec.serviceAccountName=default", "spec.serviceAccount=default", "spec.containers[0].volumeMounts[0]", "spec.volumes[0]"}},
		{"an account of its own, other volumes, init containers", m{"spec": m{"serviceAccountName": "robot", "volumes": []any{m{"name": "v"}},
			"initContainers": []any{m{"name": "i"}}, "containers": []any{m{"name": "c", "volumeMounts": []any{m{"name": "v", "mountPath": "/v"}}}}}},
			[]string{"spec.initContainers[0].volumeMounts[0]", "spec.containers[0].volumeMounts[1]", "spec.volumes[1]"}},
		{"no token wanted", m{"spec": m{"serviceAccountName": "robot", "automountServiceAccountToken": false, "containers": []any{m{"name": "c"}}}}, nil},
		{"a mirror of a static pod", m{"metadata": m{"annotations": m{"kubernetes.io/config.mirror": "x"}}, "spec": m{"containers": []any{m{"name": "c"}}}}, nil},
		{"the account wants no token", m{"spec": m{"serviceAccountName": "quiet", "containers": []any{m{"name": "c"}}}}, nil},
		{"the account wants none, the pod does", m{"spec": m{"serviceAccountName": "quiet", "automountServiceAccountToken": true, "containers": []any{m{"name": "c", "volumeMounts": []any{}}}}},
			[]string{"spec.containers[0].volumeMounts[0]", "spec.volumes[0]"}},
		{"the account's pull secrets", m{"spec": m{"serviceAccountName": "puller", "automountServiceAccountToken": false, "containers": []any{m{"name": "c"}}}},
			[]string{"spec.imagePullSecrets"}},
		{"pull secrets of its own", m{"spec": m{"serviceAccountName": "puller", "automountServiceAccountToken": false, "imagePullSecrets": []any{m{"name": "mine"}}, "containers": []any{m{"name": "c"}}}}, nil},
		{"mounted by hand", m{"spec": m{"serviceAccountName": "robot", "containers": []any{m{"name": "c", "volumeMounts": mounted}}}}, nil},
		{"one of two mounted by hand", m{"spec": m{"serviceAccountName": "robot", "containers": []any{m{"name": "c", "volumeMounts": mounted}, m{"name": "d"}}}},
			[]string{"spec.containers[1].volumeMounts[0]", "spec.volumes[0]"}},
		{"copied from a running pod", m{"spec": m{"serviceAccountName": "robot", "volumes": []any{m{"name": "kube-api-access-abcde", "projected": m{}}},
			"containers": []any{m{"name": "c", "volumeMounts": []any{m{"name": "kube-api-access-abcde", "mountPath": path}}}, m{"name": "d"}}}},
			[]string{"spec.containers[1].volumeMounts[0]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Kind: "Pod", Namespace: "ns", Object: tc.pod, Store: store})
			var got []string
			for _, p := range v.Patch {
				s := p.Path
				var text string
				if json.Unmarshal(p.Value, &text) == nil {
					s += "=" + text
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || v.Denied {
				t.Errorf("denied %v, patch (-want +got):\n%s", v.Denied, diff)
			}
		})
	}
}

// accounts are those that the pods here name.
func accounts(t *testing.T) *sdktest.Store {
	t.Helper()
	no := false
	account := func(name string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	}
	quiet, puller, strict := account("quiet"), account("puller"), account("strict")
	quiet.AutomountServiceAccountToken = &no
	puller.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "hub"}}
	strict.Annotations = map[string]string{"kubernetes.io/enforce-mountable-secrets": "true"}
	strict.Secrets = []corev1.ObjectReference{{Name: "good"}}
	strict.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "hub"}}
	s, err := sdktest.NewStore(account("default"), account("robot"), quiet, puller, strict)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefused(t *testing.T) {
	type m = map[string]any
	mirror := func(spec m) m {
		return m{"metadata": m{"annotations": m{"kubernetes.io/config.mirror": "x"}}, "spec": spec}
	}
	env := func(secret string) []any {
		return []any{m{"name": "c", "env": []any{m{"name": "E", "valueFrom": m{"secretKeyRef": m{"name": secret, "key": "k"}}}}}}
	}
	from := func(secret string) []any {
		return []any{m{"name": "c", "envFrom": []any{m{"secretRef": m{"name": secret}}}}}
	}
	for _, tc := range []struct {
		name string
		pod  m
		want string // "" passes
	}{
		{"missing", m{"spec": m{"serviceAccountName": "later"}}, `error looking up service account ns/later: serviceaccount "later" not found`},
		{"there", m{"spec": m{"serviceAccountName": "robot"}}, ""},
		{"mirror", mirror(m{}), ""},
		{"mirror with an account", mirror(m{"serviceAccountName": "robot"}), "a mirror pod may not reference service accounts"},
		{"mirror with a pull secret", mirror(m{"imagePullSecrets": []any{m{"name": "s"}}}), "a mirror pod may not reference secrets"},
		{"mirror with a secret volume", mirror(m{"volumes": []any{m{"name": "v", "secret": m{"secretName": "s"}}}}), "a mirror pod may not reference secrets"},
		{"mirror with a projected secret", mirror(m{"volumes": []any{m{"name": "v", "projected": m{"sources": []any{m{"secret": m{"name": "s"}}}}}}}), "a mirror pod may not reference secrets"},
		{"mirror with a secret in its environment", mirror(m{"initContainers": from("s")}), "a mirror pod may not reference secrets"},
		{"mirror with a token", mirror(m{"volumes": []any{m{"name": "v", "projected": m{"sources": []any{m{"serviceAccountToken": m{"path": "t"}}}}}}}), "a mirror pod may not use ServiceAccountToken volume projections"},
		{"strict, named", m{"spec": m{"serviceAccountName": "strict", "containers": env("good")}}, ""},
		{"strict, a variable", m{"spec": m{"serviceAccountName": "strict", "containers": env("bad")}},
			`container c with envVar E referencing secret.secretName="bad" is not allowed because service account strict does not reference that secret`},
		{"strict, all of a secret", m{"spec": m{"serviceAccountName": "strict", "initContainers": from("bad")}},
			`init container c with envFrom referencing secret.secretName="bad" is not allowed because service account strict does not reference that secret`},
		{"strict, a volume", m{"spec": m{"serviceAccountName": "strict", "volumes": []any{m{"name": "v", "secret": m{"secretName": "bad"}}}}},
			`volume with secret.secretName="bad" is not allowed because service account strict does not reference that secret`},
		{"strict, a pull secret", m{"spec": m{"serviceAccountName": "strict", "imagePullSecrets": []any{m{"name": "hub"}, m{"name": "bad"}}}},
			`imagePullSecrets[1].name="bad" is not allowed because service account strict does not reference that imagePullSecret`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: tc.pod, Store: accounts(t)})
			if v.Message != tc.want || v.Forbidden != (tc.want != "") || len(v.Await) > 0 {
				t.Errorf("forbidden %v: %q, awaits %v; want %q", v.Forbidden, v.Message, v.Await, tc.want)
			}
		})
	}
}

// A namespace's default account comes a moment after the namespace.
func TestDefaultIsAwaited(t *testing.T) {
	v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Namespace: "new", Object: map[string]any{"spec": map[string]any{}}, Store: accounts(t)})
	want := []admission.ObjectRef{{Resource: "v1/serviceaccounts", Namespace: "new", Name: "default"}}
	if diff := cmp.Diff(want, v.Await); diff != "" || !v.Forbidden || v.Message != `error looking up service account new/default: serviceaccount "default" not found` {
		t.Errorf("message %q, awaits (-want +got):\n%s", v.Message, diff)
	}
}

func TestEphemeralContainers(t *testing.T) {
	type m = map[string]any
	const refused = `ephemeral container debug with envFrom referencing secret.secretName="bad" is not allowed because service account strict does not reference that secret`
	for _, tc := range []struct{ stored, sent, want string }{
		{"robot", "robot", ""},
		{"robot", "", ""}, // only the containers of what is sent count
		{"robot", "gone", ""},
		{"strict", "strict", refused},
		{"strict", "robot", refused},
		{"gone", "robot", `error looking up service account ns/gone: serviceaccount "gone" not found`},
		{"", "robot", "no service account specified for pod ns/p"},
	} {
		pod := func(account string, containers ...any) m {
			return m{"spec": m{"serviceAccountName": account, "ephemeralContainers": containers}}
		}
		v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "service-account", ""), sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Subresource: "ephemeralcontainers",
			Namespace: "ns", Name: "p", Object: pod(tc.sent, m{"name": "debug", "envFrom": []any{m{"secretRef": m{"name": "bad"}}}}), Old: pod(tc.stored), Store: accounts(t)})
		if v.Message != tc.want || len(v.Patch) > 0 {
			t.Errorf("stored %q, sent %q: %q, %d changes; want %q", tc.stored, tc.sent, v.Message, len(v.Patch), tc.want)
		}
	}
}

func TestVolume(t *testing.T) {
	type m = map[string]any
	pod := m{"metadata": m{"generateName": "web-"}, "spec": m{"serviceAccountName": "robot", "containers": []any{m{"name": "c"}}}}
	v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: pod, Store: accounts(t)})
	var mount struct {
		Name, MountPath string
		ReadOnly        bool
	}
	var volume struct {
		Name      string
		Projected struct {
			DefaultMode int
			Sources     []map[string]any
		}
	}
	if err := json.Unmarshal(v.Patch[0].Value, &mount); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(v.Patch[1].Value, &volume); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(mount.Name, "kube-api-access-") || mount.Name != volume.Name || !mount.ReadOnly {
		t.Errorf("mount %+v of volume %s", mount, volume.Name)
	}
	got := fmt.Sprint(volume.Projected.DefaultMode, volume.Projected.Sources)
	want := "420 [map[serviceAccountToken:map[expirationSeconds:3607 path:token]] map[configMap:map[items:[map[key:ca.crt path:ca.crt]] name:kube-root-ca.crt]] " +
		"map[downwardAPI:map[items:[map[fieldRef:map[apiVersion:v1 fieldPath:metadata.namespace] path:namespace]]]]]"
	if got != want {
		t.Errorf("volume = %s, want %s", got, want)
	}
}

// The name of a volume that the pod brought along has not been validated when
// the rule runs: it stays one JSON string.
func TestVolumeNameIsQuoted(t *testing.T) {
	type m = map[string]any
	name := "kube-api-access-\",\"subPath\":\"x\n"
	pod := m{"spec": m{"serviceAccountName": "robot", "volumes": []any{m{"name": name}}, "containers": []any{m{"name": "c"}}}}
	v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: pod, Store: accounts(t)})
	var mount map[string]any
	if err := json.Unmarshal(v.Patch[0].Value, &mount); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m{"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}, mount); diff != "" {
		t.Error(diff)
	}
}
