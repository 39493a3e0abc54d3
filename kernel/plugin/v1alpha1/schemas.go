package v1alpha1

import (
	"reflect"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// schemas describes the group's types for OpenAPI, from their fields.
func schemas(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	b := schemaBuilder{ref: ref, out: map[string]common.OpenAPIDefinition{}}
	for _, v := range []any{Plugin{}, PluginList{}, PluginModule{}, PluginModuleList{}, Batch{}} {
		b.define(reflect.TypeOf(v))
	}
	return b.out
}

type schemaBuilder struct {
	ref common.ReferenceCallback
	out map[string]common.OpenAPIDefinition
}

// modelName is how definitions of other packages call a type: by its own word
// if it has one, else by its path.
func modelName(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return n.OpenAPIModelName()
	}
	return util.GetCanonicalTypeName(reflect.New(t).Interface())
}

// define writes the definition of a struct of this package.
func (b *schemaBuilder) define(t reflect.Type) {
	name := modelName(t)
	if _, ok := b.out[name]; ok {
		return
	}
	d := common.OpenAPIDefinition{Schema: spec.Schema{SchemaProps: spec.SchemaProps{
		Type: spec.StringOrArray{"object"}, Description: descriptions[t.Name()], Properties: map[string]spec.Schema{}}}}
	b.out[name] = d
	uses := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == reflect.TypeFor[metav1.TypeMeta]() {
			d.Schema.Properties["apiVersion"] = stringSchema
			d.Schema.Properties["kind"] = stringSchema
			continue
		}
		s := b.schema(f.Type, uses)
		s.Description = descriptions[t.Name()+"."+tag]
		d.Schema.Properties[tag] = s
		if !strings.Contains(opts, "omitempty") {
			d.Schema.Required = append(d.Schema.Required, tag)
		}
	}
	for u := range uses {
		d.Dependencies = append(d.Dependencies, u)
	}
	b.out[name] = d
}

var stringSchema = spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"string"}}}

func (b *schemaBuilder) schema(t reflect.Type, uses map[string]bool) spec.Schema {
	switch t {
	case reflect.TypeFor[runtime.RawExtension]():
		s := spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}
		s.AddExtension("x-kubernetes-preserve-unknown-fields", true)
		return s
	case reflect.TypeFor[metav1.ObjectMeta](), reflect.TypeFor[metav1.ListMeta](), reflect.TypeFor[metav1.Condition](), reflect.TypeFor[metav1.Time](),
		reflect.TypeFor[metav1.Duration](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[rbacv1.PolicyRule]():
		return b.reference(t, uses)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.schema(t.Elem(), uses)
	case reflect.Struct:
		b.define(t)
		return b.reference(t, uses)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"string"}, Format: "byte"}}
		}
		item := b.schema(t.Elem(), uses)
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"array"}, Items: &spec.SchemaOrArray{Schema: &item}}}
	case reflect.Bool:
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"boolean"}}}
	case reflect.Int32, reflect.Int64:
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"integer"}, Format: t.Kind().String()}}
	}
	return stringSchema
}

func (b *schemaBuilder) reference(t reflect.Type, uses map[string]bool) spec.Schema {
	name := modelName(t)
	uses[name] = true
	return spec.Schema{SchemaProps: spec.SchemaProps{Default: map[string]any{}, Ref: b.ref(name)}}
}

// descriptions are what kubectl explain shows.
var descriptions = map[string]string{
	"Batch":                       "Batch is many writes that happen all or not at all, at one revision. It is created only.",
	"Batch.spec":                  "What is to be written.",
	"Batch.status":                "What was written, or would be.",
	"BatchSpec":                   "BatchSpec is what is to be written.",
	"BatchSpec.items":             "The writes, each authorized, admitted and validated by itself, against what is stored before the batch.",
	"BatchItem":                   "BatchItem is one write.",
	"BatchItem.verb":              "create, update, patch, apply or delete.",
	"BatchItem.object":            "Object to create or update, or the configuration to apply.",
	"BatchItem.patchType":         "Media type of the patch.",
	"BatchItem.patch":             "The patch, as JSON.",
	"BatchItem.force":             "Take fields from other managers, in an apply.",
	"BatchItem.propagationPolicy": "What becomes of dependents, in a delete.",
	"BatchItemStatus":             "BatchItemStatus is the answer to an item.",
	"BatchItemStatus.code":        "HTTP code that the write would have had by itself.",
	"BatchItemStatus.object":      "The object after the write.",
	"Plugin":                      "Plugin is one plugin that the cluster runs.",
	"PluginSpec":                  "PluginSpec says what to run and how.",
	"PluginSpec.digest":           "Digest of the module, sha256:<hex>, uploaded before. Needed for the hosts wasm and process.",
	"PluginSpec.plugin":           "Plugin to open when the module holds several; its only one by default.",
	"PluginSpec.host":             "Host that runs it: wasm (default), process or native.",
	"PluginSpec.config":           "Config handed to the plugin, any JSON.",
	"PluginSpec.permissions":      "Permissions that the plugin's controller has, as RBAC rules, in all namespaces.",
	"PluginSpec.limits":           "Limits of each instance.",
	"PluginSpec.failurePolicy":    "What happens to a request or a pod when the plugin fails: Fail (default) or Ignore.",
	"PluginSpec.mode":             "Enforce (default); Monitor asks but refuses nothing and warns; Shadow asks and only counts.",
	"PluginSpec.match":            "Match narrows what the plugin's admission points see.",
	"PluginSpec.order":            "Order among admission policies, lowest first, between -10000 and 10000; 0 by default.",
	"PluginSpec.weight":           "Weight of the plugin's score; 1 by default.",
	"PluginSpec.members":          "How the members of a set of scheduling plugins are used.",
	"Limits.memory":               "Memory of an instance; 256Mi by default.",
	"Limits.timeout":              "Timeout of a call; 1s by default, 30s for controllers.",
	"Limits.writesPerSecond":      "Objects that a controller may write a second; 500 by default, twenty times as many at once.",
	"PluginStatus":                "PluginStatus says how it goes.",
	"PluginStatus.phase":          "Pending, Loading, Ready, Degraded, Quarantined, Failed or Disabled.",
	"PluginStatus.message":        "Message explains a phase other than Ready.",
	"PluginStatus.lastError":      "What went wrong last in a call, errors and faults alike.",
	"PluginError":                 "PluginError is something that went wrong in a call of a plugin.",
	"PluginError.call":            "What was asked of the plugin.",
	"PluginError.message":         "The plugin's own words, or why it could not answer.",
	"PluginError.fault":           "The plugin broke off and its instance was thrown away; else it answered with an error.",
	"PluginStatus.points":         "Extension points that the plugin serves.",
	"PluginStatus.match":          "What the plugin's admission points match by themselves.",
	"PluginStatus.implements":     "Resources whose objects the plugin brings about.",
	"PluginModule":                "PluginModule is a piece of an uploaded module.",
}
