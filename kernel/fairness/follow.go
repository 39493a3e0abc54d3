package fairness

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	informersflowcontrol "k8s.io/client-go/informers/flowcontrol"
	informersv1 "k8s.io/client-go/informers/flowcontrol/v1"
	listersv1 "k8s.io/client-go/listers/flowcontrol/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/informer/shared"
)

// feed is where the library gets what it follows. Nothing else is asked of it, and it
// starts nothing.
type feed struct {
	informers.SharedInformerFactory
	schemas *shared.Objects[*flowcontrolv1.FlowSchema]
	levels  *shared.Objects[*flowcontrolv1.PriorityLevelConfiguration]
	looks   informer.Signal // raised before the library reads the schemas
}

// Flowcontrol implements informers.SharedInformerFactory.
func (f feed) Flowcontrol() informersflowcontrol.Interface { return group{feed: f} }

type group struct {
	informersflowcontrol.Interface
	feed feed
}

func (g group) V1() informersv1.Interface { return version{feed: g.feed} }

type version struct {
	informersv1.Interface
	feed feed
}

func (v version) FlowSchemas() informersv1.TypedFlowSchemaInformer {
	return schemaInformer{objects: v.feed.schemas, looks: v.feed.looks}
}

func (v version) PriorityLevelConfigurations() informersv1.TypedPriorityLevelConfigurationInformer {
	return levelInformer{objects: v.feed.levels}
}

type schemaInformer struct {
	informersv1.TypedFlowSchemaInformer
	objects *shared.Objects[*flowcontrolv1.FlowSchema]
	looks   informer.Signal
}

func (i schemaInformer) Informer() cache.SharedIndexInformer { return i.objects }

func (i schemaInformer) Lister() listersv1.FlowSchemaLister {
	return schemaLister{listersv1.NewFlowSchemaLister(i.objects.Store()), i.looks}
}

// schemaLister tells when it is read: once in each of the library's passes, after the
// levels.
type schemaLister struct {
	listersv1.FlowSchemaLister
	looks informer.Signal
}

// List implements listersv1.FlowSchemaLister.
func (l schemaLister) List(s labels.Selector) ([]*flowcontrolv1.FlowSchema, error) {
	l.looks.Raise()
	return l.FlowSchemaLister.List(s)
}

type levelInformer struct {
	informersv1.TypedPriorityLevelConfigurationInformer
	objects *shared.Objects[*flowcontrolv1.PriorityLevelConfiguration]
}

func (i levelInformer) Informer() cache.SharedIndexInformer { return i.objects }

func (i levelInformer) Lister() listersv1.PriorityLevelConfigurationLister {
	return listersv1.NewPriorityLevelConfigurationLister(i.objects.Store())
}
