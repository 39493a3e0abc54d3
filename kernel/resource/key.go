package resource

import "strings"

// Key is where the store keeps an object: prefix/namespace/name, or
// prefix/name for a cluster-scoped resource, as upstream does.
func Key(d *Definition, namespace, name string) string {
	if d.Namespaced {
		return d.KeyPrefix + "/" + namespace + "/" + name
	}
	return d.KeyPrefix + "/" + name
}

// Prefix is the common beginning of the keys of a namespace's objects, of all
// objects with namespace "".
func Prefix(d *Definition, namespace string) string {
	if d.Namespaced && namespace != "" {
		return d.KeyPrefix + "/" + namespace + "/"
	}
	return d.KeyPrefix + "/"
}

// ParseKey takes a key of Key apart; ok is false for any other key.
func ParseKey(d *Definition, key string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(key, d.KeyPrefix+"/")
	if !ok {
		return "", "", false
	}
	if d.Namespaced {
		if namespace, rest, ok = strings.Cut(rest, "/"); !ok || namespace == "" {
			return "", "", false
		}
	}
	if rest == "" || strings.Contains(rest, "/") {
		return "", "", false
	}
	return namespace, rest, true
}
