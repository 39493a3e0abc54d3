package registry_test

import (
	"reflect"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/registry"
)

// Who does not say who he is gets nothing, by whichever verb.
func TestNobodyIsRefused(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", nil))
	ctx, o := t.Context(), registry.WriteOptions{FieldManager: "m"}
	commits, _ := c.store.counts()
	for name, u := range map[string]user.Info{"nil": nil, "without a name": &user.DefaultInfo{Groups: []string{user.SystemPrivilegedGroup}}} {
		r := c.As(u)
		asked := map[string]error{}
		_, asked["Get"] = r.Get(ctx, at(configMapsR, "a"), metav1.GetOptions{})
		_, asked["GetProjection"] = r.GetProjection(ctx, sub(deploymentsR, "a", "scale"), metav1.GetOptions{})
		_, asked["List"] = r.List(ctx, at(configMapsR, ""), metav1.ListOptions{})
		_, asked["Watch"] = r.Watch(ctx, at(configMapsR, ""), metav1.ListOptions{})
		_, asked["Create"] = r.Create(ctx, at(configMapsR, ""), configMap("b", nil), o)
		_, asked["Update"] = r.Update(ctx, at(configMapsR, "a"), made, o)
		_, asked["Patch"] = r.Patch(ctx, at(configMapsR, "a"), types.ApplyYAMLPatchType, []byte(mapConfig("{a: b}")), o)
		_, asked["Delete"] = r.Delete(ctx, at(configMapsR, "a"), metav1.DeleteOptions{})
		_, asked["DeleteCollection"] = r.DeleteCollection(ctx, at(configMapsR, ""), metav1.DeleteOptions{}, metav1.ListOptions{})
		_, asked["Batch"] = r.Batch(ctx, []registry.BatchItem{{Verb: "create", Target: at(configMapsR, ""), Object: configMap("b", nil)}}, false)
		asked["AdmitConnect"] = c.AdmitConnect(ctx, u, at(podsR, "a"), pod("a"))
		for verb := range reflect.TypeFor[registry.Registry]().Methods() {
			if _, ok := asked[verb.Name]; !ok {
				t.Errorf("this test does not ask %s", verb.Name)
			}
		}
		for verb, err := range asked {
			if !apierrors.IsForbidden(err) {
				t.Errorf("%s by a user that is %s: %v, want Forbidden", verb, name, err)
			}
		}
	}
	if now, _ := c.store.counts(); now != commits {
		t.Errorf("%d commits by nobody", now-commits)
	}
}

// The Core has no verb of its own: there is no other way to one than As.
func TestCoreHasNoVerbs(t *testing.T) {
	core := reflect.TypeFor[*registry.Core]()
	for verb := range reflect.TypeFor[registry.Registry]().Methods() {
		if _, ok := core.MethodByName(verb.Name); ok {
			t.Errorf("(*Core).%s asks as nobody", verb.Name)
		}
	}
}
