package controllertest_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// dependent is a ConfigMap that names an owner.
func dependent(ns, name string, owner metav1.OwnerReference) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, OwnerReferences: []metav1.OwnerReference{owner}}}
}

func refTo(name string, uid types.UID) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: uid}
}

// Who names an owner by its uid and another name, or from another namespace, goes, as
// the reference leads nowhere; those that name it as it is stay.
func TestGarbageThatNamesItsOwnerWrongly(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector")
	c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}})
	c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}})
	uid := get[corev1.ConfigMap](t, c, "owner").UID
	c.mustCreate(t, dependent(namespace, "good", refTo("owner", uid)))
	c.mustCreate(t, dependent(namespace, "misnamed", refTo("someone", uid)))
	c.mustCreate(t, dependent("elsewhere", "far", refTo("owner", uid)))
	eventually(t, "those that are wrong are gone", func() string {
		return all(equal("misnamed", get[corev1.ConfigMap](t, c, "misnamed") == nil, true), equal("elsewhere", len(list[corev1.ConfigMap](t, c, "elsewhere")), 0))
	})
	for _, name := range []string{"owner", "good"} {
		if get[corev1.ConfigMap](t, c, name) == nil {
			t.Errorf("%s is gone", name)
		}
	}
	eventually(t, "an event says so", func() string {
		for _, e := range list[corev1.Event](t, c, "elsewhere") {
			if e.Reason == "OwnerRefInvalidNamespace" {
				return all(equal("type", e.Type, "Warning"), equal("about", e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name, "ConfigMap/far"),
					equal("message", e.Message, `ownerRef [v1/ConfigMap, namespace: elsewhere, name: owner, uid: `+string(uid)+`] does not exist in namespace "elsewhere"`))
			}
		}
		return "no event"
	})
}
