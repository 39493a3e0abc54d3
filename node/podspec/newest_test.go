package podspec_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/podspec"
)

// TestNamed: of pods of one name the one is meant that is there to stay, in
// whatever order they are looked at.
func TestNamed(t *testing.T) {
	at := func(name, uid string, created int64, deleted bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(uid), CreationTimestamp: metav1.Unix(created, 0)}}
		if deleted {
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(created+9, 0)}
		}
		return p
	}
	pods := []*corev1.Pod{at("db", "1", 10, true), at("db", "2", 10, false), at("web", "3", 10, true), at("web", "4", 11, true), at("one", "5", 10, true)}
	for _, c := range []struct{ name, uid, want string }{
		{"db", "", "2"}, {"db", "1", "1"}, {"web", "", "4"}, {"web", "3", "3"}, {"one", "", "5"}, {"one", "4", ""}, {"none", "", ""},
	} {
		for range len(pods) {
			pods = append(pods[1:], pods[0])
			got := ""
			if p := podspec.Named(pods, "default", c.name, c.uid); p != nil {
				got = string(p.UID)
			}
			if got != c.want {
				t.Errorf("%s %q: got %q, want %q", c.name, c.uid, got, c.want)
			}
		}
	}
	if podspec.Named(pods, "other", "db", "") != nil {
		t.Error("a pod of another namespace")
	}
}
