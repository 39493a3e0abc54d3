package charts

import "strings"

// kind is what a definition says beside its schemas.
type kind struct {
	group, name, plural string
	cluster             bool
	short               []any
	categories          []any
	versions            []object // made by version
}

// definition is the CustomResourceDefinition of a kind.
func (k *kind) definition() object {
	scope := "Namespaced"
	if k.cluster {
		scope = "Cluster"
	}
	names := object{"kind": k.name, "listKind": k.name + "List", "plural": k.plural, "singular": strings.ToLower(k.name)}
	if k.short != nil {
		names["shortNames"] = k.short
	}
	if k.categories != nil {
		names["categories"] = k.categories
	}
	versions := make([]any, len(k.versions))
	for i := range k.versions {
		versions[i] = k.versions[i]
	}
	return object{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": object{"name": k.plural + "." + k.group, "labels": object{"app.kubernetes.io/part-of": k.group}},
		"spec":     object{"group": k.group, "scope": scope, "names": names, "versions": versions}}
}

// version is one of a kind; the first of a kind is the one that is stored.
func version(name string, stored bool, spec, status object) object {
	root := object{"type": "object", "required": []any{"spec"}, "properties": object{
		"apiVersion": object{"type": "string"}, "kind": object{"type": "string"}, "metadata": object{"type": "object"}, "spec": spec}}
	v := object{"name": name, "served": true, "storage": stored, "schema": object{"openAPIV3Schema": root},
		"additionalPrinterColumns": []any{column("Age", "date", ".metadata.creationTimestamp")}}
	if status != nil {
		root["properties"].(object)["status"] = status
		v["subresources"] = object{"status": object{}}
	}
	return v
}

// scaled gives a version the subresource scale.
func scaled(v object) object {
	v["subresources"].(object)["scale"] = object{"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}
	return v
}

// shown puts columns before the age.
func shown(v object, columns ...any) object {
	v["additionalPrinterColumns"] = append(columns, v["additionalPrinterColumns"].([]any)...)
	return v
}

func column(name, kind, path string) object {
	return object{"name": name, "type": kind, "jsonPath": path}
}

// ready is the column of the condition that everybody shows.
func ready(name string) object {
	return column(name, "string", `.status.conditions[?(@.type=="`+name+`")].status`)
}

func rule(expression, message string) object {
	return object{"rule": expression, "message": message}
}
