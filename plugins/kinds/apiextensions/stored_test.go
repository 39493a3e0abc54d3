package apiextensions

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

func sample() *v1beta1.CustomResourceDefinition {
	return &v1beta1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things.x.example", Labels: map[string]string{"a": "b"}, UID: "u", Generation: 3},
		Spec: v1beta1.CustomResourceDefinitionSpec{Group: "x.example", Scope: v1beta1.ClusterScoped, PreserveUnknownFields: ptr.To(false),
			Names:      v1beta1.CustomResourceDefinitionNames{Plural: "things", Singular: "thing", Kind: "Thing", ListKind: "ThingList"},
			Conversion: &v1beta1.CustomResourceConversion{Strategy: v1beta1.NoneConverter},
			Versions: []v1beta1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true, Schema: &v1beta1.CustomResourceValidation{OpenAPIV3Schema: &v1beta1.JSONSchemaProps{
				Type: "object", Properties: map[string]v1beta1.JSONSchemaProps{"a": {Type: "string", Default: &v1beta1.JSON{Raw: []byte(`"x"`)}}, "b": {Type: "integer"}}}}}}, Version: "v1"},
		Status: v1beta1.CustomResourceDefinitionStatus{StoredVersions: []string{"v1"}, Conditions: []v1beta1.CustomResourceDefinitionCondition{{Type: v1beta1.Established, Status: v1beta1.ConditionTrue}}},
	}
}

// What is stored is what upstream stores, byte for byte, and read back the same.
func TestStoredIsUpstreams(t *testing.T) {
	want, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var s Stored
	if err := s.Unmarshal(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, s.Size())
	if n, err := s.MarshalToSizedBuffer(got); err != nil || n != len(got) || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d", n, err, len(want))
	}
	back, err := s.unpack()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), back); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
	text, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	var fromJSON Stored
	if err := json.Unmarshal(text, &fromJSON); err != nil || !bytes.Equal(fromJSON.Spec, s.Spec) {
		t.Errorf("from JSON: %v", err)
	}
}

// Copies and conversions leave what they are made of as it was.
func TestStoredIsShared(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := Install(scheme); err != nil {
		t.Fatal(err)
	}
	var s Stored
	if err := s.pack(sample()); err != nil {
		t.Fatal(err)
	}
	before := s.DeepCopyObject().(*Stored)
	cp := s.DeepCopyObject().(*Stored)
	terminate(cp)
	var in apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&s, &in, nil); err != nil {
		t.Fatal(err)
	}
	in.Spec.Versions[0].Name = "v2"
	noteStored(&in)
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := scheme.Convert(&in, &v1, nil); err != nil {
		t.Fatal(err)
	}
	if len(v1.Status.StoredVersions) != 2 || len(cp.Finalizers) != 1 || cmp.Diff(before, &s) != "" {
		t.Errorf("stored versions %v, finalizers %v, changed:\n%s", v1.Status.StoredVersions, cp.Finalizers, cmp.Diff(before, &s))
	}
}

// FuzzStored reads arbitrary stored bytes: what is taken can be written and
// converted.
func FuzzStored(f *testing.F) {
	seed, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x00, 0x12, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stored
		if s.Unmarshal(b) != nil {
			return
		}
		if _, err := s.unpack(); err != nil {
			t.Errorf("what was taken cannot be read: %v", err)
		}
		out := make([]byte, s.Size())
		if n, err := s.MarshalToSizedBuffer(out); err != nil || n != len(out) {
			t.Errorf("%d of %d bytes, %v", n, len(out), err)
		}
	})
}
