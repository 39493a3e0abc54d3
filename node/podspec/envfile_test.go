package podspec_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/podspec"
)

// files is the content of the one file that there is.
type files string

func (f files) ReadFile(_ *corev1.Pod, volume, path string) ([]byte, error) {
	if volume != "v" || path != "config.env" {
		return nil, errors.New("no such file")
	}
	return []byte(f), nil
}

func fromFile(text string, ref corev1.FileKeySelector) (value string, ok bool, err error) {
	p := pod(func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &ref}}, {Name: "Y", Value: "$(X)!"}}
	})
	e, err := podspec.Environment(p, &p.Spec.Containers[0], node, nil, nil, sources{}, files(text))
	if err != nil {
		return "", false, err
	}
	value, ok = e.Get("X")
	return value, ok, nil
}

func TestEnvironmentFromFile(t *testing.T) {
	for name, c := range map[string]struct{ text, want, err string }{
		"plain":                     {"KEY='value'\n", "value", ""},
		"without an end of line":    {"KEY='value'", "value", ""},
		"among others":              {"# c\n\n  A='1'\nKEY='value' # why\nKEY='later'\n", "value", ""},
		"several lines":             {"KEY='one\n  two # no comment\n'\nB='x'\n", "one\n  two # no comment\n", ""},
		"taken literally":           {`KEY='$(A) "x" \n'`, `$(A) "x" \n`, ""},
		"a sign within":             {"KEY='a=b'", "a=b", ""},
		"not there":                 {"A='1'\n", "", `environment variable key "KEY" not found in file "config.env" of volume "v"`},
		"empty":                     {"KEY=''\n", "", "not found"},
		"a space after the sign":    {"KEY= 'x'\n", "", "not found"},
		"without quotes":            {"KEY=value\n", "", "line 1: value must be enclosed in single quotes"},
		"double quotes":             {"\nKEY=\"value\"\n", "", "line 2: value must be enclosed in single quotes"},
		"no sign":                   {"KEY\n", "", "line 1: missing '='"},
		"no name":                   {"='x'\n", "", "line 1: empty variable name"},
		"a space before the sign":   {"KEY ='x'\n", "", "line 1: whitespace before '=' is not allowed"},
		"something after the end":   {"KEY='x'y\n", "", "line 1: unexpected content after closing quote"},
		"no end":                    {"A='1'\nKEY='x\ny\n", "", "line 2: unclosed single quote"},
		"a fault after the finding": {"KEY='value'\nbroken", "value", ""},
	} {
		got, ok, err := fromFile(c.text, corev1.FileKeySelector{VolumeName: "v", Path: "config.env", Key: "KEY"})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %q %v, want %s", name, got, err, c.err)
			}
			continue
		}
		if err != nil || !ok || got != c.want {
			t.Errorf("%s: got %q %t %v, want %q", name, got, ok, err, c.want)
		}
	}
	if _, ok, err := fromFile("A='1'", corev1.FileKeySelector{VolumeName: "v", Path: "config.env", Key: "KEY", Optional: ptr.To(true)}); ok || err != nil {
		t.Errorf("an optional key: got %t %v", ok, err)
	}
	if _, _, err := fromFile("", corev1.FileKeySelector{VolumeName: "v", Path: "none", Key: "KEY", Optional: ptr.To(true)}); err == nil || !strings.Contains(err.Error(), "couldn't parse env file") {
		t.Errorf("a missing file: got %v", err)
	}
}

func TestOnlyUser(t *testing.T) {
	own := func(name string, user *int64) corev1.Container {
		return corev1.Container{Name: name, SecurityContext: &corev1.SecurityContext{RunAsUser: user}}
	}
	for name, c := range map[string]struct {
		pod  *int64
		init []corev1.Container
		app  []corev1.Container
		want *int64
	}{
		"as the image says": {nil, nil, []corev1.Container{{Name: "a"}}, nil},
		"the pod's":         {ptr.To[int64](7), []corev1.Container{{Name: "i"}}, []corev1.Container{{Name: "a"}}, ptr.To[int64](7)},
		"each the same":     {nil, []corev1.Container{own("i", ptr.To[int64](7))}, []corev1.Container{own("a", ptr.To[int64](7))}, ptr.To[int64](7)},
		"one of its own":    {ptr.To[int64](7), nil, []corev1.Container{{Name: "a"}, own("b", ptr.To[int64](8))}, nil},
		"one without":       {nil, []corev1.Container{{Name: "i"}}, []corev1.Container{own("a", ptr.To[int64](7))}, nil},
		"root":              {ptr.To[int64](0), nil, []corev1.Container{{Name: "a"}}, ptr.To[int64](0)},
	} {
		p := pod(func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: c.pod}
			p.Spec.InitContainers, p.Spec.Containers = c.init, c.app
		})
		if got := podspec.OnlyUser(p); (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
