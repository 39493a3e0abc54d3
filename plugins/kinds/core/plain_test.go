package core_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestImmutableSecretsAndConfigMaps(t *testing.T) {
	old := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns", ResourceVersion: "1"}, Immutable: ptr.To(true), StringData: map[string]string{"a": "b"}}
	d := kindtest.Definition(t, "secrets")
	if errs := kindtest.Create(t, d, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if string(old.Data["a"]) != "b" || old.StringData != nil || old.Type != corev1.SecretTypeOpaque {
		t.Errorf("stringData is write only: %+v", old)
	}
	next := old.DeepCopy()
	next.Data = map[string][]byte{"a": []byte("c")}
	if errs := kindtest.Update(t, d, next, old); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "data: Forbidden: field is immutable when `immutable` is set") {
		t.Errorf("secret: %v", errs.ToAggregate())
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns", ResourceVersion: "1"}, Immutable: ptr.To(true)}
	nextCM := cm.DeepCopy()
	nextCM.Immutable = nil
	if errs := kindtest.Update(t, kindtest.Definition(t, "configmaps"), nextCM, cm); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "immutable: Forbidden") {
		t.Errorf("config map: %v", errs.ToAggregate())
	}
}
