package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Files reads the files that a pod's environment refers to.
type Files interface {
	// ReadFile reads a file of one of the pod's volumes, wherever links of a
	// container's may lead within that volume and nowhere else.
	ReadFile(pod *corev1.Pod, volume, path string) ([]byte, error)
}

// fromFile evaluates a reference to a key of a file, which an init container
// may have written.
func fromFile(pod *corev1.Pod, ref *corev1.FileKeySelector, files Files) (value string, ok bool, err error) {
	if files == nil {
		return "", false, fmt.Errorf("unsupported source of an environment variable")
	}
	b, err := files.ReadFile(pod, ref.VolumeName, ref.Path)
	if err == nil {
		value, err = parseEnv(string(b), ref.Key)
	}
	switch {
	case err != nil:
		return "", false, fmt.Errorf("couldn't parse env file: %w", err)
	case value == "" && !deref(ref.Optional):
		return "", false, fmt.Errorf("environment variable key %q not found in file %q of volume %q", ref.Key, ref.Path, ref.VolumeName)
	}
	return value, value != "", nil
}

// parseEnv looks up a key in a file of the form that the API defines, a strict
// subset of a shell's: KEY='value' on a line, where the value may go on over
// several lines, is taken literally, and may be followed by a comment. "" is
// not found.
func parseEnv(text, key string) (string, error) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for n := 0; n < len(lines); n++ {
		line := strings.TrimLeft(lines[n], " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := n + 1
		wrong := func(what string) (string, error) {
			return "", fmt.Errorf("invalid environment variable format at line %d: %s", at, what)
		}
		name, rest, ok := strings.Cut(line, "=")
		switch {
		case !ok:
			return wrong("missing '='")
		case strings.TrimRight(name, " \t") == "":
			return wrong("empty variable name")
		case strings.TrimRight(name, " \t") != name:
			return wrong("whitespace before '=' is not allowed")
		case rest != strings.TrimLeft(rest, " \t"): // as a shell: the variable is empty
			if name == key {
				return "", nil
			}
			continue
		case !strings.HasPrefix(rest, "'"):
			return wrong("value must be enclosed in single quotes")
		}
		value, rest, closed := strings.Cut(rest[1:], "'")
		for !closed {
			if n++; n == len(lines) {
				return wrong("unclosed single quote")
			}
			var more string
			more, rest, closed = strings.Cut(lines[n], "'")
			value += "\n" + more
		}
		if rest = strings.TrimLeft(rest, " \t"); rest != "" && !strings.HasPrefix(rest, "#") {
			return wrong("unexpected content after closing quote")
		}
		if name == key {
			return value, nil
		}
	}
	return "", nil
}
