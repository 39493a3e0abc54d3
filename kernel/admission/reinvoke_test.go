package admission_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/admission"
)

// A rule that changed the object has all mutators asked again, once, whoever else
// asks for it.
func TestReinvocation(t *testing.T) {
	var c admission.Chain
	var asked []string
	mutator := func(name string, wants bool) admission.Rule {
		return admission.Rule{Mutate: admission.MutatorFunc(func(_ context.Context, a *admission.Attributes) error {
			r := a.Reinvocation()
			if r.IsReinvoke() {
				asked = append(asked, name+" again")
				if r.Value(name) != "first" || r.Value("other") != nil {
					t.Errorf("%s remembers %v", name, r.Value(name))
				}
			} else {
				asked = append(asked, name)
				r.SetValue(name, "first")
			}
			if wants {
				r.SetShouldReinvoke()
			}
			return nil
		})}
	}
	c.Set("a", 1, mutator("a", false))
	c.Set("b", 2, mutator("b", false))
	for _, wants := range []bool{false, true} {
		asked = nil
		c.Set("b", 2, mutator("b", wants))
		if err := c.Mutate(t.Context(), &admission.Attributes{}); err != nil {
			t.Fatal(err)
		}
		want := "a, b"
		if wants {
			want += ", a again, b again"
		}
		if got := strings.Join(asked, ", "); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}
