package serviceaccount_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/serviceaccount"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestMutate(t *testing.T) {
	const path = "/var/run/secrets/kubernetes.io/serviceaccount"
	type m = map[string]any
	mounted := []any{m{"name": "own", "mountPath": path}}
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
		{"mounted by hand", m{"spec": m{"serviceAccountName": "robot", "containers": []any{m{"name": "c", "volumeMounts": mounted}}}}, nil},
		{"one of two mounted by hand", m{"spec": m{"serviceAccountName": "robot", "containers": []any{m{"name": "c", "volumeMounts": mounted}, m{"name": "d"}}}},
			[]string{"spec.containers[1].volumeMounts[0]", "spec.volumes[0]"}},
		{"copied from a running pod", m{"spec": m{"serviceAccountName": "robot", "volumes": []any{m{"name": "kube-api-access-abcde", "projected": m{}}},
			"containers": []any{m{"name": "c", "volumeMounts": []any{m{"name": "kube-api-access-abcde", "mountPath": path}}}, m{"name": "d"}}}},
			[]string{"spec.containers[1].volumeMounts[0]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open(t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Kind: "Pod", Object: tc.pod})
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

func TestVolume(t *testing.T) {
	type m = map[string]any
	pod := m{"metadata": m{"generateName": "web-"}, "spec": m{"serviceAccountName": "a", "containers": []any{m{"name": "c"}}}}
	v := sdktest.Mutate(t, sdktest.Open(t, "service-account", ""), sdktest.Request{Resource: "v1/pods", Object: pod})
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
