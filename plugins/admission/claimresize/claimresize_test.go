package claimresize_test

import (
	"testing"

	_ "github.com/pintle-io/pintle/plugins/admission/claimresize"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

type class struct {
	Metadata             m    `json:"metadata"`
	AllowVolumeExpansion bool `json:"allowVolumeExpansion,omitempty"`
}

func (*class) APIResource() string { return "storage.k8s.io/v1/storageclasses" }

func TestValidate(t *testing.T) {
	s, err := sdktest.NewStore(&class{Metadata: m{"name": "elastic"}, AllowVolumeExpansion: true}, &class{Metadata: m{"name": "stiff"}})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(class, size, phase string) m {
		return m{"spec": m{"storageClassName": class, "resources": m{"requests": m{"storage": size}}}, "status": m{"phase": phase}}
	}
	const (
		unbound = "Only bound persistent volume claims can be expanded"
		stiff   = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
	)
	byAnnotation := claim("stiff", "2Gi", "Bound")
	byAnnotation["metadata"] = m{"annotations": m{"volume.beta.kubernetes.io/storage-class": "elastic"}}
	grown := claim("stiff", "3Gi", "Bound")
	grown["metadata"] = byAnnotation["metadata"]
	for name, tc := range map[string]struct {
		old, now m
		want     string
	}{
		"as large":              {claim("stiff", "1Gi", "Pending"), claim("stiff", "1024Mi", "Pending"), ""},
		"smaller":               {claim("stiff", "1Gi", "Bound"), claim("stiff", "1Mi", "Bound"), ""}, // validation's affair
		"larger":                {claim("elastic", "1Gi", "Bound"), claim("elastic", "2Gi", "Bound"), ""},
		"not bound":             {claim("elastic", "1Gi", "Pending"), claim("elastic", "2Gi", "Bound"), unbound},
		"not allowed":           {claim("stiff", "1Gi", "Bound"), claim("stiff", "2Gi", "Bound"), stiff},
		"without a class":       {claim("", "1Gi", "Bound"), claim("", "2Gi", "Bound"), stiff},
		"a class that is gone":  {claim("gone", "1Gi", "Bound"), claim("gone", "2Gi", "Bound"), stiff},
		"with another class":    {claim("stiff", "1Gi", "Bound"), claim("elastic", "2Gi", "Bound"), stiff},
		"a class by annotation": {byAnnotation, grown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "claim-resize", ""), sdktest.Request{Operation: admission.Update, Resource: "v1/persistentvolumeclaims", Object: tc.now, Old: tc.old, Store: s})
			if v.Message != tc.want || v.Forbidden != (tc.want != "") {
				t.Errorf("forbidden %v %q, want %q", v.Forbidden, v.Message, tc.want)
			}
		})
	}
}
