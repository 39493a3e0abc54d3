package cli

import "testing"

func TestLogOfAStart(t *testing.T) {
	const log = `time=1 level=WARN msg="node not registered" node=vm error="admission policy \"deny-all\" denied the request: no"
time=2 level=INFO msg="plugin loaded" plugin=x
`
	line := lastWarning(log)
	if want := `"node not registered" node=vm error="admission policy \"deny-all\" denied the request: no"`; line != want {
		t.Errorf("the last warning is %s, want %s", line, want)
	}
	want := "a policy refuses it: `bin/pintle plugin remove deny-all`, or `bin/pintle down` and `bin/pintle up --disable-plugin deny-all`"
	if got := lockedOut(line, "bin/pintle"); got != want {
		t.Errorf("the way out is %q, want %q", got, want)
	}
	if got := lockedOut(`"image collection" error="the disk is too full"`, "pintle"); got != "" {
		t.Errorf("a way out of something else: %q", got)
	}
	if got := lastWarning("time=1 level=INFO msg=x\n"); got != "" {
		t.Errorf("no warning, and yet %q", got)
	}
}
