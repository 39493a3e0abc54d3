package admission

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestVerdictsAreCut: what a policy says of a stranger's request stays within what the
// kernel takes of an answer, however long the request makes it.
func TestVerdictsAreCut(t *testing.T) {
	long := strings.Repeat("é", 40<<10)
	r := &Review{}
	for range 100 {
		r.Warn("%s", long)
		r.Annotate("k", long)
	}
	_ = r.Deny("%s", long)
	v := r.Verdict()
	if len(v.Warnings) != maxWarnings || !strings.HasPrefix(v.Warnings[maxWarnings-1], "there are more") || len(v.Annotations) != 2*maxNotes {
		t.Errorf("%d warnings, %d notes", len(v.Warnings), len(v.Annotations))
	}
	for what, text := range map[string]string{"warning": v.Warnings[0], "note": v.Annotations[1]} {
		if len(text) > maxText || !strings.HasSuffix(text, "…") || !utf8.ValidString(text) {
			t.Errorf("a %s of %d bytes", what, len(text))
		}
	}
	if len(v.Message) > maxMessage || !strings.HasSuffix(v.Message, "…") {
		t.Errorf("a message of %d bytes", len(v.Message))
	}
	r = &Review{}
	for range 1000 {
		_ = r.Invalid(long, long, "%s", long)
	}
	if v := r.Verdict(); len(v.Invalid) != maxFaults || len(v.Invalid[0].Value) > maxText {
		t.Errorf("%d refused fields", len(v.Invalid))
	}
}
