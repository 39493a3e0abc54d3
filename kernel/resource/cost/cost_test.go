package cost_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/resource/cost"
)

func TestJSON(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `7`: 0, `{}`: 1, `{"a":[1,2,3]}`: 4, `{"a":",,,{[\",,\\","b":[]}`: 3, `"unclosed, \`: 0, `[{},{},{}`: 6,
	} {
		if got := cost.JSON([]byte(text)); got != want {
			t.Errorf("%s: %d values, want %d", text, got, want)
		}
	}
}

func TestProtobuf(t *testing.T) {
	empty := corev1.PodSpec{Containers: make([]corev1.Container, 1000)}
	b, err := empty.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got := cost.Protobuf(b); got < 1000 {
		t.Errorf("a thousand containers count %d", got)
	}
	if got := cost.Protobuf([]byte(strings.Repeat("\x12\x00", 1000))); got != 1000 {
		t.Errorf("a thousand empty messages count %d", got)
	}
	// Long texts and random bytes are few values.
	for name, text := range map[string]string{"one letter": strings.Repeat("x", 100000), "another": strings.Repeat("j", 100000),
		"lines": strings.Repeat("key = some value\n", 6000), "zeros": strings.Repeat("\x00", 100000)} {
		cm := corev1.ConfigMap{Data: map[string]string{"k": text}}
		if b, err = cm.Marshal(); err != nil {
			t.Fatal(err)
		}
		if got := cost.Protobuf(b); got > len(text)/30+10 {
			t.Errorf("%s: a text of %d bytes counts %d", name, len(text), got)
		}
	}
	deep := []byte{}
	for range 10000 {
		if deep = append([]byte{0x0a, byte(len(deep))}, deep...); len(deep) > 120 {
			break
		}
	}
	if got := cost.Protobuf(deep); got < 50 {
		t.Errorf("messages in messages count %d", got)
	}
	if got := cost.Protobuf([]byte{0xff, 0xff}); got != 0 {
		t.Errorf("nonsense counts %d", got)
	}
}

func TestYAML(t *testing.T) {
	long := "a: &a " + strings.Repeat("x", 1000) + "\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for _, c := range "bcdefghijklmnop" {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ",") + "]\n"
	}
	for name, tc := range map[string]struct {
		text     string
		min, max int
		err      bool
	}{
		"plain":           {"a: b\n", 2, 20, false},
		"an alias":        {long + "b: *a\n", 2000, 2100, false},
		"many aliases":    {long + "b: [" + strings.TrimSuffix(strings.Repeat("*a,", 100), ",") + "]\n", 100000, 110000, false},
		"aliases of many": {bomb, 1 << 20, 1<<20 + 1, false},
		"itself":          {"a: &a [*a]\n", 0, 0, true},
		"none":            {"a: [", 0, 0, true},
	} {
		n, err := cost.YAML([]byte(tc.text), 1<<20)
		if (err != nil) != tc.err || n < tc.min || n > tc.max {
			t.Errorf("%s: %d bytes, %v; want %d to %d", name, n, err, tc.min, tc.max)
		}
	}
}

func FuzzProtobuf(f *testing.F) {
	f.Add([]byte("\x0a\x03\x0a\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := cost.Protobuf(b); n < 0 || n > len(b)*33 {
			t.Errorf("%d values in %d bytes", n, len(b))
		}
	})
}
