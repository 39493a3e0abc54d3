package plugin

import (
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestPluginsArePrinted: who looks at the plugins reads what is wrong, in words.
func TestPluginsArePrinted(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	list := []v1alpha1.Plugin{
		{ObjectMeta: metav1.ObjectMeta{Name: "fine"}, Status: v1alpha1.PluginStatus{Phase: v1alpha1.Ready, Calls: 7}},
		{ObjectMeta: metav1.ObjectMeta{Name: "shaky"}, Spec: v1alpha1.PluginSpec{Mode: v1alpha1.Shadow},
			Status: v1alpha1.PluginStatus{Phase: v1alpha1.Ready, Calls: 9, Errors: 2, Faults: 1,
				LastError: &v1alpha1.PluginError{Call: "reconcile", Message: "no such thing\nat all", Time: at(3 * time.Minute)}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "shut"}, Status: v1alpha1.PluginStatus{Phase: v1alpha1.Quarantined, Message: "until 12:01: " + strings.Repeat("x", 200),
			LastError: &v1alpha1.PluginError{Call: "validate", Fault: true, Message: "no answer within 1s", Time: at(time.Second)}}},
	}
	var out strings.Builder
	if err := printPlugins(&out, list, now); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"WHAT WENT WRONG LAST", "Ready", `Ready (Shadow)`, "Quarantined"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %q, want %q", lines[i], want)
		}
	}
	if !strings.HasSuffix(strings.TrimSpace(lines[2]), `an error in "reconcile", 3m ago: no such thing`) {
		t.Errorf("line %q", lines[2])
	}
	if !strings.Contains(lines[3], "until 12:01: xxx") || len([]rune(lines[3])) > 200 {
		t.Errorf("line %q", lines[3])
	}
	out.Reset()
	if err := printPlugin(&out, &list[2], now); err != nil {
		t.Fatal(err)
	}
	for _, none := range []string{"Weight", "Order"} {
		if strings.Contains(out.String(), none) {
			t.Errorf("%s of what serves nothing:\n%s", none, out.String())
		}
	}
	for _, want := range []string{`broken off in "validate", 1s ago: no answer within 1s`, "events --for plugin/shut"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestWeightAndOrderArePrinted: with the flags of `load` comes a way to see what
// they set.
func TestWeightAndOrderArePrinted(t *testing.T) {
	ten, two := int64(10), int64(2)
	for want, p := range map[string]v1alpha1.Plugin{
		"Weight: 10": {Spec: v1alpha1.PluginSpec{Weight: &ten}, Status: v1alpha1.PluginStatus{Points: []string{"Filter", "Score"}}},
		"Weight: NodeAffinity 2": {Spec: v1alpha1.PluginSpec{Members: []v1alpha1.MemberUse{{Name: "NodeAffinity", Weight: &two}}},
			Status: v1alpha1.PluginStatus{Points: []string{"ScoreAll"}}},
		"Weight: its own": {Status: v1alpha1.PluginStatus{Points: []string{"Score"}}},
		"Order: -3":       {Spec: v1alpha1.PluginSpec{Order: -3}, Status: v1alpha1.PluginStatus{Points: []string{"Validate"}}},
		"Allowed: get,list:configmaps,namespaces create:events": {Spec: v1alpha1.PluginSpec{Permissions: []rbacv1.PolicyRule{
			allow(t, "get,list:configmaps,namespaces"), allow(t, "create:events")}}},
		"Failure policy: Ignore": {Spec: v1alpha1.PluginSpec{FailurePolicy: v1alpha1.Ignore}},
	} {
		var out strings.Builder
		if err := printPlugin(&out, &p, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func allow(t *testing.T, text string) rbacv1.PolicyRule {
	t.Helper()
	r, err := parseAllow(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
