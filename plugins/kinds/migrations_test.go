package kinds_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/encrypted"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// migrating is a control plane that migrates, over a store that can be looked at.
type migrating struct {
	*kerneltest.Server
	*kubernetes.Clientset
	raw store.Store
}

func newMigrating(t *testing.T, raw store.Store, dir, encryption string) *migrating {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table, Store: raw, Dir: dir, Config: func(c *kernel.Config) {
		ships(nil, "storage-version-migrator")(c)
		c.Encryption = encrypted.Config{File: encryption}
	}})
	<-s.PluginsSynced()
	return &migrating{s, kerneltest.Client(t, s.Admin()), raw}
}

// value is what the store keeps.
func (m *migrating) value(t *testing.T, key string) store.KV {
	t.Helper()
	kv, ok, _, err := m.raw.Get(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("%s: %t, %v", key, ok, err)
	}
	return kv
}

// migrate waits until a migration has ended, and does not run any more.
func (m *migrating) migrate(t *testing.T, name, group, resource string) *migrationv1.StorageVersionMigration {
	t.Helper()
	all := m.StoragemigrationV1().StorageVersionMigrations()
	made, err := all.Create(t.Context(), &migrationv1.StorageVersionMigration{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: migrationv1.StorageVersionMigrationSpec{Resource: metav1.GroupResource{Group: group, Resource: resource}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, name+" ends", func() string {
		if made, err = all.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		is := func(c migrationv1.MigrationConditionType) bool {
			return meta.IsStatusConditionTrue(made.Status.Conditions, string(c))
		}
		if !is(migrationv1.MigrationSucceeded) && !is(migrationv1.MigrationFailed) || is(migrationv1.MigrationRunning) {
			return fmt.Sprint(made.Status)
		}
		return ""
	})
	return made
}

func succeeded(t *testing.T, m *migrationv1.StorageVersionMigration) {
	t.Helper()
	if c := meta.FindStatusCondition(m.Status.Conditions, "Succeeded"); c == nil || c.Reason != "StorageVersionMigrationSucceeded" || m.Status.ResourceVersion == "" {
		t.Errorf("%s: %+v", m.Name, m.Status)
	}
}

// TestMigrationEncrypts: Secrets that were there before encryption are encrypted by a
// migration, and no other object is written.
func TestMigrationEncrypts(t *testing.T) {
	raw, dir := memory.New(), t.TempDir()
	before := newMigrating(t, raw, dir, "")
	for i := range 300 {
		if _, err := before.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%03d", i)}, StringData: map[string]string{"p": "hunter2"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := before.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before.Stop()
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - secretbox: {keys: [{name: k, secret: " +
		base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)) + "}]}\n  - identity: {}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMigrating(t, raw, dir, file)
	plain := m.value(t, "/registry/configmaps/default/c")
	succeeded(t, m.migrate(t, "encrypt", "", "secrets"))
	for i := range 300 {
		kv := m.value(t, fmt.Sprintf("/registry/secrets/default/s%03d", i))
		if !bytes.HasPrefix(kv.Value, []byte("k8s:enc:secretbox:v1:k:")) {
			t.Fatalf("secret %d is stored as %.30q", i, kv.Value)
		}
	}
	last := m.value(t, "/registry/secrets/default/s299").ModRevision
	succeeded(t, m.migrate(t, "again", "", "secrets"))
	succeeded(t, m.migrate(t, "config-maps", "", "configmaps"))
	if got := m.value(t, "/registry/secrets/default/s299").ModRevision; got != last {
		t.Error("a Secret is written that is encrypted already")
	}
	if got := m.value(t, "/registry/configmaps/default/c").ModRevision; got != plain.ModRevision {
		t.Error("a ConfigMap is written that is stored as it should be")
	}
	for _, gr := range [][2]string{{"rbac.authorization.k8s.io", "clusterroles"}, {"apiextensions.k8s.io", "customresourcedefinitions"}, {"pintle.dev", "plugins"}} {
		succeeded(t, m.migrate(t, "of-"+gr[1], gr[0], gr[1]))
	}
	none := m.migrate(t, "reviews", "authorization.k8s.io", "subjectaccessreviews")
	if c := meta.FindStatusCondition(none.Status.Conditions, "Failed"); c == nil || c.Reason != "StorageVersionMigrationFailed" {
		t.Errorf("of what is not stored: %+v", none.Status)
	}
}

// TestMigrationOfCustomKind: after a migration the objects of a custom kind are stored in
// its storage version alone, and the one of before can go.
func TestMigrationOfCustomKind(t *testing.T) {
	m := newMigrating(t, memory.New(), "", "")
	crds := apiextensions.NewForConfigOrDie(m.Admin()).ApiextensionsV1().CustomResourceDefinitions()
	anything := true
	version := func(name string, storage bool) apiextensionsv1.CustomResourceDefinitionVersion {
		return apiextensionsv1.CustomResourceDefinitionVersion{Name: name, Served: true, Storage: storage,
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &anything}}}
	}
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "widgets.shop.example"}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: "shop.example", Scope: apiextensionsv1.NamespaceScoped, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Kind: "Widget", ListKind: "WidgetList", Singular: "widget"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version("v1", true), version("v2", false)}}}
	crd, err := crds.Create(t.Context(), crd, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "it is established", func() string {
		if crd, err = crds.Get(t.Context(), crd.Name, metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		if !slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
		}) {
			return fmt.Sprint(crd.Status)
		}
		return ""
	})
	widgets := dynamic.NewForConfigOrDie(m.Admin()).Resource(schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "widgets"}).Namespace("default")
	for _, name := range []string{"a", "b"} {
		if _, err := widgets.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{"apiVersion": "shop.example/v1", "kind": "Widget", "metadata": map[string]any{"name": name}, "x": name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	crd.Spec.Versions[0].Storage, crd.Spec.Versions[1].Storage = false, true
	if crd, err = crds.Update(t.Context(), crd, metav1.UpdateOptions{}); err != nil || len(crd.Status.StoredVersions) != 2 {
		t.Fatalf("stored versions %v, %v", crd.Status.StoredVersions, err)
	}
	succeeded(t, m.migrate(t, "widgets", "shop.example", "widgets"))
	for _, name := range []string{"a", "b"} {
		if v := m.value(t, "/registry/shop.example/widgets/default/"+name).Value; !bytes.Contains(v, []byte(`"apiVersion":"shop.example/v2"`)) {
			t.Errorf("%s is stored as %s", name, v)
		}
	}
	if crd, err = crds.Get(t.Context(), crd.Name, metav1.GetOptions{}); err != nil || !slices.Equal(crd.Status.StoredVersions, []string{"v2"}) {
		t.Errorf("stored versions %v, %v", crd.Status.StoredVersions, err)
	}
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.StorageMigrating && (c.Status != apiextensionsv1.ConditionFalse || c.Reason != "MigrationSucceeded") {
			t.Errorf("condition %+v", c)
		}
	}
	crd.Spec.Versions = crd.Spec.Versions[1:]
	if _, err := crds.Update(t.Context(), crd, metav1.UpdateOptions{}); err != nil {
		t.Errorf("the version of before cannot go: %v", err)
	}
}
