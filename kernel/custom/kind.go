package custom

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"github.com/pintle-io/pintle/kernel/custom/conversion"
	customschema "github.com/pintle-io/pintle/kernel/custom/schema"
)

// kind is one state of a CustomResourceDefinition's spec: a few names, and the way
// to what is compiled of it while that is in use.
type kind struct {
	facts
	load    func() (*apiextensionsv1.CustomResourceDefinition, error)
	clients conversion.Clients
	plugins conversion.Plugins
	kept    *kept

	mu       sync.Mutex
	compiled *compiled // nil: nobody has needed it lately; guarded by mu
}

// facts are what a kind is told apart by, and what is asked too often to be parsed
// for it.
type facts struct {
	uid        types.UID
	generation int64
	gk         schema.GroupKind
	listKind   string
	namespaced bool
	storage    string
	converts   bool   // versions differ, and a webhook or a plugin knows how
	plugin     string // the one that knows it
	// versions are all there are, served or not, by name. Equal numbers mean equal
	// schemas.
	versions map[string]int
}

func factsOf(crd *apiextensionsv1.CustomResourceDefinition) facts {
	f := facts{
		uid: crd.UID, generation: crd.Generation,
		gk:       schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Status.AcceptedNames.Kind},
		listKind: crd.Status.AcceptedNames.ListKind, namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		versions: map[string]int{},
	}
	f.plugin = conversion.PluginOf(crd)
	f.converts = f.plugin != "" || crd.Spec.Conversion != nil && crd.Spec.Conversion.Strategy == apiextensionsv1.WebhookConverter
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Storage {
			f.storage = v.Name
		}
		f.versions[v.Name] = i
		for j := range i {
			if reflect.DeepEqual(crd.Spec.Versions[j].Schema, v.Schema) {
				f.versions[v.Name] = j
				break
			}
		}
	}
	return f
}

// same tells that nothing that a kind is made of has changed.
func (f *facts) same(g *facts) bool {
	return f.uid == g.uid && f.generation == g.generation && f.gk == g.gk && f.listKind == g.listKind && f.plugin == g.plugin
}

// compiled is what is made of a definition for those who use it.
type compiled struct {
	crd       *apiextensionsv1.CustomResourceDefinition
	schemas   map[string]*customschema.Schema
	converter managedfields.TypeConverter
	objects   *conversion.Converter // between versions
	used      time.Time
}

// use calls f with what is compiled, after having made it if need be. f runs under
// the kind's lock: it takes what it needs and does nothing else.
func (k *kind) use(f func(*compiled) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.compiled == nil {
		crd, err := k.load()
		if err != nil {
			return err
		}
		k.compiled = &compiled{crd: crd, schemas: map[string]*customschema.Schema{}}
		k.kept.add(k)
	}
	k.compiled.used = k.kept.clock.Now()
	return f(k.compiled)
}

// drop forgets what is compiled if nobody has used it since; it tells whether
// there is nothing any more.
func (k *kind) drop(since time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.compiled != nil && k.compiled.used.Before(since) {
		k.compiled = nil
	}
	return k.compiled == nil
}

// schema is that of a version.
func (k *kind) schema(version string) (s *customschema.Schema, err error) {
	err = k.use(func(c *compiled) error {
		s, err = c.schema(version)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the server cannot use the schema of %s: %w", k.gk, err)
	}
	return s, nil
}

func (c *compiled) schema(version string) (*customschema.Schema, error) {
	if s := c.schemas[version]; s != nil {
		return s, nil
	}
	s, err := customschema.Compile(c.crd, version)
	if err == nil {
		c.schemas[version] = s
	}
	return s, err
}

// conversion brings objects to another version.
func (k *kind) conversion() (w *conversion.Converter, err error) {
	err = k.use(func(c *compiled) error {
		if c.objects == nil {
			c.objects, err = conversion.New(c.crd, k.clients, k.plugins)
		}
		w = c.objects
		return err
	})
	return w, err
}

// typeConverter serves server-side apply.
func (k *kind) typeConverter() (out managedfields.TypeConverter, err error) {
	err = k.use(func(c *compiled) error {
		if c.converter == nil {
			for v := range k.versions {
				if _, err := c.schema(v); err != nil {
					return err
				}
			}
			if c.converter, err = customschema.TypeConverter(c.crd, c.schemas); err != nil {
				c.converter = managedfields.NewDeducedTypeConverter()
			}
		}
		out = c.converter
		return nil
	})
	return out, err
}
