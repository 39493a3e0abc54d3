// Package serviceaccount gives every pod a service account, which must exist,
// and mounts its token, the cluster's CA and the namespace at the place where
// clients look for them, as upstream's ServiceAccount admission does. It reads
// the account of each pod, and writes nothing but the pod.
package serviceaccount

import (
	"encoding/json"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	// mirror marks a static pod's image in the API: it has no account.
	mirror = "metadata.annotations[kubernetes.io/config.mirror]"
	// byDefault is the account of a pod that names none; a controller makes it
	// in every namespace.
	byDefault = "default"
	// tokenSeconds is upstream's: an hour, and some for clocks that differ.
	tokenSeconds = 3607
)

func init() {
	sdk.Register(sdk.Plugin{Name: "service-account", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{
			Match: []admission.MatchRule{
				{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/pods"}},
				{Operations: []admission.Operation{admission.Update}, Resources: []string{"v1/pods/ephemeralcontainers"}},
			},
			Fields: fields(),
			Mutate: mutate,
		}, nil
	}})
}

// fields are the paths of what the rule reads of a pod.
func fields() []string {
	out := []string{"metadata.name", "metadata.generateName", "metadata.namespace", mirror, "spec.serviceAccountName", "spec.automountServiceAccountToken",
		"spec.imagePullSecrets.name", "spec.volumes.name", "spec.volumes.projected.sources.serviceAccountToken", "spec.volumes.projected.sources.secret"}
	for _, f := range secretFields {
		out = append(out, "spec.volumes."+f)
	}
	for _, list := range []string{"spec.initContainers", "spec.containers", "spec.ephemeralContainers"} {
		out = append(out, list+".name", list+".volumeMounts.mountPath", list+".env.name", list+".env.valueFrom.secretKeyRef.name", list+".envFrom.secretRef.name")
	}
	return out
}

// account is what counts of a ServiceAccount.
type account struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Automount   *bool       `json:"automountServiceAccountToken"`
	Secrets     []reference `json:"secrets"`
	PullSecrets []reference `json:"imagePullSecrets"`
}

type reference struct {
	Name string `json:"name"`
}

// APIResource implements client.Object.
func (*account) APIResource() string { return "v1/serviceaccounts" }

func mutate(r *admission.Review) error {
	pod := r.Object
	if r.Operation == admission.Update {
		return limitEphemeral(r)
	}
	if pod.Get(mirror).Exists() {
		return mirrorPod(r)
	}
	name := pod.Get("spec.serviceAccountName").String()
	if name == "" {
		name = byDefault
		if err := r.Set("spec.serviceAccountName", name); err != nil {
			return err
		}
		if err := r.Set("spec.serviceAccount", name); err != nil {
			return err
		}
	}
	sa, ok, err := lookup(r, name)
	if err != nil || !ok {
		return err
	}
	if sa.automounts(pod) {
		if err := mount(r); err != nil {
			return err
		}
	}
	if pod.Get("spec.imagePullSecrets").Len() == 0 && len(sa.PullSecrets) > 0 {
		if err := r.Set("spec.imagePullSecrets", sa.PullSecrets); err != nil {
			return err
		}
	}
	return limit(r, name, sa)
}

// lookup reads the account. ok is false when there is none: the pod is refused
// then, after a wait for one that a controller is about to make.
func lookup(r *admission.Review, name string) (sa *account, ok bool, err error) {
	sa = &account{}
	err = r.Reader.Get(sa, r.Namespace, name)
	if !client.IsNotFound(err) {
		return sa, err == nil, err
	}
	if name == byDefault {
		r.Await(sa, r.Namespace, name)
	}
	return nil, false, r.Forbid("error looking up service account %s/%s: serviceaccount %q not found", r.Namespace, name, name)
}

// automounts: the pod's own wish comes first, then the account's.
func (sa *account) automounts(pod sdk.Value) bool {
	if wish := pod.Get("spec.automountServiceAccountToken"); wish.Exists() {
		return wish.Bool()
	}
	return sa.Automount == nil || *sa.Automount
}

// mount adds the volume, and a mount to each container that has none at the
// place.
func mount(r *admission.Review) error {
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
			path := "spec." + list + "[" + strconv.Itoa(i) + "].volumeMounts[" + strconv.Itoa(mounts.Len()) + "]"
			if err := r.Set(path, json.RawMessage(`{"name":`+quoted(name)+mountRest)); err != nil {
				return err
			}
		}
	}
	if !mounted || given != "" {
		return nil
	}
	return r.Set("spec.volumes["+strconv.Itoa(r.Object.Get("spec.volumes").Len())+"]", json.RawMessage(`{"name":"`+name+`",`+projected))
}

// prefix begins the name of the volume, as upstream's does.
const prefix = "kube-api-access-"

// givenVolume is a volume that a pod brings along, being a copy of another
// pod; "" when there is none.
func givenVolume(pod sdk.Value) string {
	for _, v := range pod.Get("spec.volumes").Items() {
		if name := v.Key("name").String(); strings.HasPrefix(name, prefix) {
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
func volumeName(r *admission.Review) string {
	h := fnv.New32a()
	for _, p := range [...]string{"metadata.name", "metadata.generateName", "metadata.namespace"} {
		h.Write([]byte(r.Object.Get(p).String() + "/"))
	}
	// A digit before the suffix makes it five long, whatever its zeros.
	return prefix + strconv.FormatUint(uint64(h.Sum32()&0xfffff|0x100000), 16)[1:]
}

// quoted is a JSON string; the name of a volume that the pod brought along has
// not been validated yet.
func quoted(s string) string { return string(admission.AppendQuoted(nil, s)) }

// mountRest is what follows the volume's name in a mount, as JSON.
const mountRest = `,"readOnly":true,"mountPath":"` + mountPath + `"}`

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
