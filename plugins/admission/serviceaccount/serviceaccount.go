// Package serviceaccount gives every pod a service account and mounts its
// token, the cluster's CA and the namespace at the place where clients look
// for them, as upstream's ServiceAccount admission does.
package serviceaccount

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

const (
	mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	// mirror marks a static pod's image in the API: it has no token.
	mirror = "metadata.annotations[kubernetes.io/config.mirror]"
	// tokenSeconds is upstream's: an hour, and some for clocks that differ.
	tokenSeconds = 3607
)

func init() {
	sdk.Register(sdk.Plugin{Name: "service-account", New: func([]byte) (*sdk.Points, error) {
		return &sdk.Points{
			Match:  []sdk.MatchRule{{Operations: []sdk.Operation{sdk.Create}, Resources: []string{"v1/pods"}}},
			Mutate: mutate,
		}, nil
	}})
}

func mutate(r *sdk.Review) error {
	pod := r.Object
	if pod.Get(mirror).Exists() {
		return nil
	}
	if pod.Get("spec.serviceAccountName").String() == "" {
		if err := r.Set("spec.serviceAccountName", "default"); err != nil {
			return err
		}
		if err := r.Set("spec.serviceAccount", "default"); err != nil {
			return err
		}
	}
	if auto := pod.Get("spec.automountServiceAccountToken"); auto.Exists() && !auto.Bool() {
		return nil
	}
	return mount(r)
}

// mount adds the volume, and a mount to each container that has none at the
// place.
func mount(r *sdk.Review) error {
	given := givenVolume(r.Object)
	name := given
	mounted := false
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range r.Object.Get("spec." + list).Items() {
			mounts := c.Key("volumeMounts")
			if has(mounts) {
				continue
			}
			if name == "" {
				name = volumeName(r)
			}
			mounted = true
			path := fmt.Sprintf("spec.%s[%d].volumeMounts[%d]", list, i, mounts.Len())
			if err := r.Set(path, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: mountPath}); err != nil {
				return err
			}
		}
	}
	if !mounted || given != "" {
		return nil
	}
	return r.Set(fmt.Sprintf("spec.volumes[%d]", r.Object.Get("spec.volumes").Len()), json.RawMessage(`{"name":"`+name+`",`+projected))
}

// prefix begins the name of the volume, as upstream's does.
const prefix = "kube-api-access-"

// givenVolume is a volume that a pod brings along, being a copy of another
// pod; "" when there is none.
func givenVolume(pod sdk.Value) string {
	for _, v := range pod.Get("spec.volumes").Items() {
		if name := v.Key("name").String(); v.Key("projected").Exists() && strings.HasPrefix(name, prefix) {
			return name
		}
	}
	return ""
}

func has(mounts sdk.Value) bool {
	for _, m := range mounts.Items() {
		if m.Key("mountPath").String() == mountPath {
			return true
		}
	}
	return false
}

// volumeName is upstream's prefix with a suffix that differs from pod to pod.
func volumeName(r *sdk.Review) string {
	h := fnv.New32a()
	for _, p := range []string{"metadata.name", "metadata.generateName", "metadata.namespace"} {
		h.Write([]byte(r.Object.Get(p).String() + "/"))
	}
	return fmt.Sprintf("%s%05x", prefix, h.Sum32()&0xfffff)
}

// projected is the volume but for its name, as JSON: every pod gets it, and
// encoding it in a guest costs more than all the rest of this rule.
var projected = func() string {
	seconds, mode := int64(tokenSeconds), int32(0o644)
	text, err := json.Marshal(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
		},
	}})
	if err != nil {
		panic(err) // a constant has a form
	}
	return strings.TrimPrefix(string(text), "{")
}()
