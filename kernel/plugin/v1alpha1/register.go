package v1alpha1

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/common"

	"github.com/pintle-io/pintle/kernel/resource"
)

// GroupVersion of the types.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// Plugins and Modules name the resources.
var (
	Plugins = GroupVersion.WithResource("plugins")
	Modules = GroupVersion.WithResource("pluginmodules")
)

// adding is held while types are added: tables share a scheme, and one may be in
// use while another is made.
var adding sync.Mutex

// AddToScheme registers the types. A scheme that has them is not written, so that
// it may be in use.
func AddToScheme(s *runtime.Scheme) error {
	adding.Lock()
	defer adding.Unlock()
	if s.Recognizes(GroupVersion.WithKind("Plugin")) {
		return nil
	}
	s.AddKnownTypes(GroupVersion, &Plugin{}, &PluginList{}, &PluginModule{}, &PluginModuleList{}, &Batch{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

var verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

// Definitions of the resources.
func Definitions() []*resource.Definition {
	return []*resource.Definition{
		{
			Group: Group, Resource: "plugins", Singular: "plugin", Kind: "Plugin", ListKind: "PluginList", Categories: []string{"pintle"},
			Versions: []string{Version}, StorageVersion: Version, KeyPrefix: "/registry/" + Group + "/plugins", Verbs: verbs, JSONStored: true,
			Strategy: pluginStrategy,
			Subresources: []resource.Subresource{{Name: "status", Style: resource.StyleStatus, Verbs: []string{"get", "patch", "update"},
				PrepareForUpdate: keepSpec}},
		},
		{
			Group: Group, Resource: "pluginmodules", Singular: "pluginmodule", Kind: "PluginModule", ListKind: "PluginModuleList",
			Versions: []string{Version}, StorageVersion: Version, KeyPrefix: "/registry/" + Group + "/pluginmodules", Verbs: verbs, JSONStored: true,
			Strategy: moduleStrategy,
		},
		batchDefinition(),
	}
}

// Extend adds the group to a table that has not been indexed yet: types,
// definitions, schemas and columns.
func Extend(t *resource.Table) error {
	if err := AddToScheme(t.Scheme); err != nil {
		return err
	}
	t.Definitions = append(t.Definitions, Definitions()...)
	t.GroupOrder = append(t.GroupOrder, Group)
	t.Columns = withColumns(t.Columns)
	t.OpenAPI = withSchemas(t.OpenAPI)
	t.TypeConverter = converter{t.TypeConverter, managedfields.NewDeducedTypeConverter()}
	return nil
}

// withSchemas adds the group's definitions to those of others.
func withSchemas(others common.GetOpenAPIDefinitions) common.GetOpenAPIDefinitions {
	return func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		all := map[string]common.OpenAPIDefinition{}
		if others != nil {
			all = others(ref)
		}
		for name, d := range schemas(ref) {
			all[name] = d
		}
		return all
	}
}
