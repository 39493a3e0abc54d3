package wasm

import (
	"strings"
	"testing"
)

func TestSanitize(t *testing.T) {
	head := "\x00asm\x01\x00\x00\x00"
	for _, c := range []struct{ name, module, want string }{
		{"empty", head, ""},
		{"custom section", head + "\x00\x05\x04name", ""},
		{"types without bytes", head + "\x01\x05\xff\xff\xff\xff\x0f", "elements in 0 bytes"},
		{"exports without bytes", head + "\x07\x05\xac\xac\xac\xac\x01", "elements in 0 bytes"},
		{"long name", head + "\x07\x07\x01\xff\xff\xff\xff\x07x", "truncated"},
		{"memory import", head + "\x02\x08\x01\x01e\x01m\x02\x00\x01", "only functions and globals"},
		{"many locals", head + "\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7f\x0b", "locals"},
		{"large table", head + "\x04\x07\x01\x70\x00\xff\xff\xff\x7f", "table of"},
		{"elements without bytes", head + "\x09\x0a\x01\x00\x41\x00\x0b\xff\xff\xff\xff\x0f", "elements in 0 bytes"},
		{"data without bytes", head + "\x0b\x0a\x01\x00\x41\x00\x0b\xff\xff\xff\xff\x0f", "truncated"},
		{"unknown section", head + "\x0e\x00", "not known"},
		{"section beyond the end", head + "\x01\x7f\x00", "truncated"},
	} {
		_, err := sanitize([]byte(c.module))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestSanitizeBoundsTables(t *testing.T) {
	out, err := sanitize([]byte("\x00asm\x01\x00\x00\x00" + "\x04\x04\x01\x70\x00\x05" + "\x00\x05\x04name"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out[8:]), "\x04\x07\x01\x70\x01\x05\x80\x80\x40"; got != want {
		t.Errorf("table section %q, want %q", got, want)
	}
}
