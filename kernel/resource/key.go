package resource

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

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

// Owner is the resource that a key of the store belongs to: the one whose prefix is the
// longest of the key's. A key of the form that custom kinds have belongs to the resource
// that it names, in the table or not: so one whose definition has just gone, or has not
// come yet, is treated as it will be. ok is false for a key that is no object's.
func (t *Table) Owner(key string) (gr schema.GroupResource, ok bool) {
	for end := strings.LastIndexByte(key, '/'); end > 0; end = strings.LastIndexByte(key[:end], '/') {
		if h, ok := t.claims.get(claim{prefix: key[:end]}); ok {
			return h.resource, true
		}
	}
	// A group has a dot; what follows in the keys of built-in kinds that the table lacks
	// has none.
	rest, ok := strings.CutPrefix(key, objectKeys)
	if !ok {
		return gr, false
	}
	group, rest, ok := strings.Cut(rest, "/")
	name, _, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || name == "" || !strings.Contains(group, ".") {
		return gr, false
	}
	return schema.GroupResource{Group: group, Resource: name}, true
}
