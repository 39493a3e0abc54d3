package admit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/sdk/wire"
)

// A refused field is worded as the API's validation does, annotations have a prefix,
// and both pass whatever else is said.
func TestVerdict(t *testing.T) {
	notes, warnings := map[string]string{}, []string{}
	a := &admission.Attributes{Kind: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, Name: "n",
		Warnings: func(s string) { warnings = append(warnings, s) }, Annotations: func(k, v string) { notes[k] = v }}
	v := verdict{wire.Verdict{Denied: true, Warnings: []string{"w"}}, wire.Findings{
		Invalid: []wire.Fault{{Field: "metadata.labels[a]", Value: "b", Detail: "must be c"}}, Annotations: []string{"x.y/z", "1", "plain", "2", "odd"}}}
	v.tell(a, "levels")
	if diff := cmp.Diff(map[string]string{"x.y/z": "1", "levels.plugins.pintle.dev/plain": "2"}, notes); diff != "" || len(warnings) != 1 {
		t.Errorf("warnings %q, annotations (-want +got):\n%s", warnings, diff)
	}
	const fault = `metadata.labels[a]: Invalid value: "b": must be c`
	if got, want := v.refusal(a).Error(), `Namespace "n" is invalid: `+fault; got != want || v.why() != fault {
		t.Errorf("refused: %s, %s; want %s", got, v.why(), want)
	}
	v = verdict{Verdict: wire.Verdict{Denied: true, Message: "no"}}
	if got := v.refusal(a).Error(); got != "no" || v.why() != "no" {
		t.Errorf("refused: %s, %s", got, v.why())
	}
}
