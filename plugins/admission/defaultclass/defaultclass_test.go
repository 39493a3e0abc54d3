package defaultclass_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/defaultclass"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

type storageClass struct {
	Metadata m `json:"metadata"`
}

func (*storageClass) APIResource() string { return "storage.k8s.io/v1/storageclasses" }

type ingressClass struct {
	Metadata m `json:"metadata"`
}

func (*ingressClass) APIResource() string { return "networking.k8s.io/v1/ingressclasses" }

// made is the metadata of a class that was made in a minute of some hour.
func made(name, minute, mark string) m {
	return m{"name": name, "creationTimestamp": "2026-01-01T00:" + minute + ":00Z", "annotations": m{mark: "true"}}
}

func TestMutate(t *testing.T) {
	const storage, beta, ingress = "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class", "ingressclass.kubernetes.io/is-default-class"
	for _, tc := range []struct {
		name, plugin string
		classes      []m
		object       m
		want         []string
	}{
		{"no class", "default-storage-class", nil, m{}, nil},
		{"no default", "default-storage-class", []m{{"name": "a", "annotations": m{storage: "false"}}, {"name": "b"}}, m{}, nil},
		{"a default", "default-storage-class", []m{{"name": "a"}, made("b", "01", storage)}, m{"spec": m{}}, []string{`spec.storageClassName "b"`}},
		{"by the older annotation", "default-storage-class", []m{made("b", "01", beta)}, m{}, []string{`spec.storageClassName "b"`}},
		{"the newest", "default-storage-class", []m{made("a", "01", storage), made("b", "03", beta), made("c", "02", storage)}, m{}, []string{`spec.storageClassName "b"`}},
		{"of one time the first by name", "default-storage-class", []m{made("b", "01", storage), made("a", "01", storage)}, m{}, []string{`spec.storageClassName "a"`}},
		{"a class of its own", "default-storage-class", []m{made("b", "01", storage)}, m{"spec": m{"storageClassName": "mine"}}, nil},
		{"none on purpose", "default-storage-class", []m{made("b", "01", storage)}, m{"spec": m{"storageClassName": ""}}, nil},
		{"by annotation", "default-storage-class", []m{made("b", "01", storage)}, m{"metadata": m{"annotations": m{"volume.beta.kubernetes.io/storage-class": "mine"}}}, nil},
		{"an ingress", "default-ingress-class", []m{made("a", "01", ingress), made("b", "02", ingress)}, m{}, []string{`spec.ingressClassName "b"`}},
		{"an ingress with a class", "default-ingress-class", []m{made("a", "01", ingress)}, m{"spec": m{"ingressClassName": "mine"}}, nil},
		{"an ingress with an annotation", "default-ingress-class", []m{made("a", "01", ingress)}, m{"metadata": m{"annotations": m{"kubernetes.io/ingress.class": ""}}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sdktest.NewStore()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range tc.classes {
				if tc.plugin == "default-storage-class" {
					err = s.Client().Create(&storageClass{c})
				} else {
					err = s.Client().Create(&ingressClass{c})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, tc.plugin, ""), sdktest.Request{Namespace: "ns", Object: tc.object, Store: s})
			var got []string
			for _, p := range v.Patch {
				got = append(got, p.Path+" "+string(p.Value))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || v.Denied {
				t.Errorf("denied %v %q; patch (-want +got):\n%s", v.Denied, v.Message, diff)
			}
		})
	}
}
