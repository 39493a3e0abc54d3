package apiextensions

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
)

// Stored is a CustomResourceDefinition as it is kept: its spec, which is nearly all of
// it and mostly text, in the bytes in which it is stored. It stands for
// v1beta1.CustomResourceDefinition, which takes five times as much memory.
//
// RATIONALE.md: "Why is a custom kind compiled when it is used?"
type Stored struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is a v1beta1.CustomResourceDefinitionSpec as protobuf, as its Marshal
	// writes it. Nobody modifies it: copies share it.
	Spec   []byte                                 `json:"-"`
	Status v1beta1.CustomResourceDefinitionStatus `json:"status"`
}

// StoredList is a list of definitions, for who prints them.
type StoredList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Stored `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *StoredList) DeepCopyObject() runtime.Object {
	out := &StoredList{TypeMeta: l.TypeMeta, Items: make([]Stored, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*Stored)
	}
	return out
}

// Install registers the types of the group. Of v1beta1, which is stored and not
// served, there is Stored alone.
func Install(scheme *runtime.Scheme) error {
	kind := v1beta1.SchemeGroupVersion.WithKind("CustomResourceDefinition")
	scheme.AddKnownTypeWithName(kind, &Stored{})
	scheme.AddKnownTypeWithName(v1beta1.SchemeGroupVersion.WithKind("CustomResourceDefinitionList"), &StoredList{})
	metav1.AddToGroupVersion(scheme, v1beta1.SchemeGroupVersion)
	for _, add := range []func(*runtime.Scheme) error{
		apiextensions.AddToScheme, apiextensionsv1.AddToScheme, v1beta1.RegisterConversions, addConversions,
		func(s *runtime.Scheme) error {
			return s.SetVersionPriority(apiextensionsv1.SchemeGroupVersion, v1beta1.SchemeGroupVersion)
		},
	} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("types of %s: %w", apiextensions.GroupName, err)
		}
	}
	return nil
}

func addConversions(scheme *runtime.Scheme) error {
	err := scheme.AddConversionFunc((*Stored)(nil), (*apiextensions.CustomResourceDefinition)(nil), func(in, out any, s conversion.Scope) error {
		crd, err := in.(*Stored).unpack()
		if err != nil {
			return err
		}
		return v1beta1.Convert_v1beta1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, out.(*apiextensions.CustomResourceDefinition), s)
	})
	if err != nil {
		return err
	}
	return scheme.AddConversionFunc((*apiextensions.CustomResourceDefinition)(nil), (*Stored)(nil), func(in, out any, s conversion.Scope) error {
		var crd v1beta1.CustomResourceDefinition
		if err := v1beta1.Convert_apiextensions_CustomResourceDefinition_To_v1beta1_CustomResourceDefinition(in.(*apiextensions.CustomResourceDefinition), &crd, s); err != nil {
			return err
		}
		return out.(*Stored).pack(&crd)
	})
}

// Established tells whether the kind may be served, without reading what it is like.
func (s *Stored) Established() bool {
	for i := range s.Status.Conditions {
		if c := &s.Status.Conditions[i]; c.Type == v1beta1.Established {
			return c.Status == v1beta1.ConditionTrue
		}
	}
	return false
}

// unpack reads the whole object, with the defaults of its version.
func (s *Stored) unpack() (*v1beta1.CustomResourceDefinition, error) {
	out := &v1beta1.CustomResourceDefinition{TypeMeta: s.TypeMeta, ObjectMeta: s.ObjectMeta, Status: s.Status}
	if err := out.Spec.Unmarshal(s.Spec); err != nil {
		return nil, fmt.Errorf("the spec of CustomResourceDefinition %s: %w", s.Name, err)
	}
	// What is appended to lists must not reach those that are shared.
	out.Status.StoredVersions = out.Status.StoredVersions[:len(out.Status.StoredVersions):len(out.Status.StoredVersions)]
	v1beta1.SetObjectDefaults_CustomResourceDefinition(out)
	return out, nil
}

func (s *Stored) pack(crd *v1beta1.CustomResourceDefinition) (err error) {
	kind := s.TypeMeta
	*s = Stored{TypeMeta: kind, ObjectMeta: crd.ObjectMeta, Status: crd.Status}
	s.Spec, err = crd.Spec.Marshal()
	return err
}

// The fields of v1beta1.CustomResourceDefinition.
const (
	fieldMeta protowire.Number = iota + 1
	fieldSpec
	fieldStatus
)

// Size implements what is asked of generated API types.
func (s *Stored) Size() int {
	return fieldSize(fieldMeta, s.ObjectMeta.Size()) + fieldSize(fieldSpec, len(s.Spec)) + fieldSize(fieldStatus, s.Status.Size())
}

func fieldSize(n protowire.Number, size int) int {
	return protowire.SizeTag(n) + protowire.SizeBytes(size)
}

// MarshalToSizedBuffer writes the object at the end of b, as generated code does.
func (s *Stored) MarshalToSizedBuffer(b []byte) (int, error) {
	meta, err := s.ObjectMeta.Marshal()
	if err != nil {
		return 0, err
	}
	status, err := s.Status.Marshal()
	if err != nil {
		return 0, err
	}
	size := s.Size()
	if size > len(b) {
		return 0, fmt.Errorf("%d bytes for an object of %d", len(b), size)
	}
	out := b[len(b)-size : len(b)-size]
	for n, value := range [][]byte{meta, s.Spec, status} {
		out = protowire.AppendTag(out, protowire.Number(n+1), protowire.BytesType)
		out = protowire.AppendBytes(out, value)
	}
	return size, nil
}

// Unmarshal reads an object. It keeps nothing of b.
func (s *Stored) Unmarshal(b []byte) error {
	for len(b) > 0 {
		n, wire, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		if wire != protowire.BytesType {
			return fmt.Errorf("field %d is of wire type %d", n, wire)
		}
		value, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var err error
		switch n {
		case fieldMeta:
			err = s.ObjectMeta.Unmarshal(value)
		case fieldSpec:
			// What is stored is checked when it comes, not when it is needed.
			if err = new(v1beta1.CustomResourceDefinitionSpec).Unmarshal(value); err == nil {
				s.Spec = append([]byte(nil), value...)
			}
		case fieldStatus:
			err = s.Status.Unmarshal(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON writes the object in full.
func (s *Stored) MarshalJSON() ([]byte, error) {
	crd, err := s.unpack()
	if err != nil {
		return nil, err
	}
	return json.Marshal(crd)
}

// UnmarshalJSON reads an object that is stored as JSON.
func (s *Stored) UnmarshalJSON(b []byte) error {
	var crd v1beta1.CustomResourceDefinition
	if err := json.Unmarshal(b, &crd); err != nil {
		return err
	}
	s.TypeMeta = crd.TypeMeta
	return s.pack(&crd)
}

// DeepCopyObject implements runtime.Object.
func (s *Stored) DeepCopyObject() runtime.Object {
	out := &Stored{TypeMeta: s.TypeMeta, Spec: s.Spec}
	s.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	s.Status.DeepCopyInto(&out.Status)
	return out
}

var _ runtime.Object = (*Stored)(nil)
