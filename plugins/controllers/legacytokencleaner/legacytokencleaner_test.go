package legacytokencleaner

import (
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2027, 6, 15, 12, 0, 0, 0, time.UTC)

// ago is the day so many days ago.
func ago(days int) string { return now.AddDate(0, 0, -days).Format(time.DateOnly) }

func holder(made int, labels map[string]string) *corev1.Secret {
	return &corev1.Secret{Type: secretType, ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s", Labels: labels, Annotations: map[string]string{accountKey: "sa"},
		CreationTimestamp: metav1.NewTime(now.AddDate(0, 0, -made))}}
}

// TestCleaner: upstream's table. Each case is looked at once.
func TestCleaner(t *testing.T) {
	changed := func(change func(*corev1.Secret)) *corev1.Secret {
		s := holder(500, nil)
		change(s)
		return s
	}
	volume := corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{volume}}}
	for name, tt := range map[string]struct {
		secret  *corev1.Secret
		since   string // "": a long time ago
		account []corev1.ObjectReference
		uid     string // that the Secret names
		pod     *corev1.Pod
		want    string // the label that it has then, "gone", "" for none
	}{
		"unused for a year":               {secret: holder(500, nil), want: ago(0)},
		"used a year ago":                 {secret: holder(500, map[string]string{lastUsed: ago(366)}), want: ago(0)},
		"used on the day of a year ago":   {secret: holder(500, map[string]string{lastUsed: ago(365)})},
		"used lately":                     {secret: holder(500, map[string]string{lastUsed: ago(3)})},
		"used nobody knows when":          {secret: holder(500, map[string]string{lastUsed: "lately"})},
		"made less than a year ago":       {secret: holder(364, nil)},
		"tracked for less than a year":    {secret: holder(500, nil), since: ago(365)},
		"tracked for a year":              {secret: holder(500, nil), since: ago(366), want: ago(0)},
		"made by somebody":                {secret: holder(500, nil), account: []corev1.ObjectReference{{Name: "other"}}},
		"of another account of the name":  {secret: holder(500, nil), uid: "gone"},
		"of another type":                 {secret: changed(func(s *corev1.Secret) { s.Type = "Opaque" })},
		"mounted":                         {secret: holder(500, nil), pod: pod},
		"invalid since a while":           {secret: holder(900, map[string]string{invalidSince: ago(365)}), want: ago(365)},
		"invalid since nobody knows when": {secret: holder(900, map[string]string{invalidSince: "ever"}), want: ago(0)},
		"invalid for a year":              {secret: holder(900, map[string]string{invalidSince: ago(366)}), want: "gone"},
		"invalid for a year, and used":    {secret: holder(900, map[string]string{invalidSince: ago(366), lastUsed: ago(1)}), want: ago(366)},
		"invalid for a year, and mounted": {secret: holder(900, map[string]string{invalidSince: ago(366)}), pod: pod, want: ago(366)},
	} {
		t.Run(name, func(t *testing.T) {
			tracking := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: trackingName}, Data: map[string]string{trackingKey: "2020-01-01"}}
			if tt.since != "" {
				tracking.Data[trackingKey] = tt.since
			}
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "sa"}, Secrets: []corev1.ObjectReference{{Name: "s"}}}
			if tt.account != nil {
				account.Secrets = tt.account
			}
			if tt.uid != "" {
				tt.secret.Annotations[uidKey] = tt.uid
			}
			objects := []client.Object{tracking, account, tt.secret}
			if tt.pod != nil {
				objects = append(objects, client.Clone(tt.pod))
			}
			s, err := sdktest.NewStore(objects...)
			if err != nil {
				t.Fatal(err)
			}
			res, err := reconcile(s.Client(), controller.Request{Namespace: "a", Name: "s"}, now)
			if err != nil || res.RequeueAfter > day {
				t.Errorf("%v, %v", res, err)
			}
			got, left := "gone", &corev1.Secret{}
			if err := s.Client().Get(left, "a", "s"); err == nil {
				got = left.Labels[invalidSince]
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestLooksAgain: a token that may become old is looked at when it does, or a day later.
func TestLooksAgain(t *testing.T) {
	since := now.AddDate(-5, 0, 0)
	for name, tt := range map[string]struct {
		secret *corev1.Secret
		since  time.Time
		want   time.Duration
	}{
		"old":     {holder(500, nil), since, 0},
		"young":   {holder(364, nil), since, day + time.Second},
		"used":    {holder(500, map[string]string{lastUsed: ago(365)}), since, 12*time.Hour + time.Second},
		"tracked": {holder(500, nil), now.Add(-unused + time.Hour), time.Hour},
		"unknown": {holder(500, map[string]string{lastUsed: "x"}), since, 0},
	} {
		if yes, got := old(tt.secret, tt.since, now); got != tt.want || yes != (name == "old") {
			t.Errorf("%s: %t, %v, want %v", name, yes, got, tt.want)
		}
	}
}

func TestRefers(t *testing.T) {
	ref := corev1.LocalObjectReference{Name: "s"}
	env := []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref}}}}
	for name, spec := range map[string]corev1.PodSpec{
		"pull secret":    {ImagePullSecrets: []corev1.LocalObjectReference{ref}},
		"variable":       {Containers: []corev1.Container{{Env: env}}},
		"init container": {InitContainers: []corev1.Container{{Env: env}}},
		"variables":      {Containers: []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}}}}}},
		"projected":      {Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{}, {Secret: &corev1.SecretProjection{LocalObjectReference: ref}}}}}}}},
		"driver":         {Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{NodePublishSecretRef: &ref}}}}},
	} {
		p := &corev1.Pod{Spec: spec}
		if !refers(p, "s") || refers(p, "other") {
			t.Errorf("%s: %t, and the other %t", name, refers(p, "s"), refers(p, "other"))
		}
	}
}
