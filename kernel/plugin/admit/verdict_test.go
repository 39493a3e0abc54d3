package admit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/sdk/wire"
)

// A refused field is worded as the API's validation does, annotations have a prefix,
// and both pass whatever else is said.
func TestVerdict(t *testing.T) {
	warnings := []string{}
	ctx := audit.WithAuditContext(t.Context())
	event := audit.AuditContextFrom(ctx)
	if err := event.Init(audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}, nil); err != nil {
		t.Fatal(err)
	}
	a := &admission.Attributes{Kind: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, Name: "n",
		Warnings: func(s string) { warnings = append(warnings, s) }}
	v := verdict{wire.Verdict{Denied: true, Warnings: []string{"w"}}, wire.Findings{
		Invalid: []wire.Fault{{Field: "metadata.labels[a]", Value: "b", Detail: "must be c"}}, Annotations: []string{"x.y/z", "1", "plain", "2", "authorization.k8s.io/decision", "forged", "odd"}}}
	v.tell(ctx, a, "levels")
	want := map[string]string{"x.y/z": "1", "levels.plugins.pintle.dev/plain": "2", "levels.plugins.pintle.dev/decision": "forged"}
	if diff := cmp.Diff(want, event.GetEventAnnotations()); diff != "" || len(warnings) != 1 {
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
