package fairness

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/client-go/informers"
	informersflowcontrol "k8s.io/client-go/informers/flowcontrol"
	informersv1 "k8s.io/client-go/informers/flowcontrol/v1"
	listersv1 "k8s.io/client-go/listers/flowcontrol/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/informer/shared"
)

// feed is where the library gets what it follows. Nothing else is asked of it, and it
// starts nothing.
type feed struct {
	informers.SharedInformerFactory
	schemas *shared.Objects[*flowcontrolv1.FlowSchema]
	levels  *shared.Objects[*flowcontrolv1.PriorityLevelConfiguration]
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
	return schemaInformer{objects: v.feed.schemas}
}

func (v version) PriorityLevelConfigurations() informersv1.TypedPriorityLevelConfigurationInformer {
	return levelInformer{objects: v.feed.levels}
}

type schemaInformer struct {
	informersv1.TypedFlowSchemaInformer
	objects *shared.Objects[*flowcontrolv1.FlowSchema]
}

func (i schemaInformer) Informer() cache.SharedIndexInformer { return i.objects }

func (i schemaInformer) Lister() listersv1.FlowSchemaLister {
	return listersv1.NewFlowSchemaLister(i.objects.Store())
}

type levelInformer struct {
	informersv1.TypedPriorityLevelConfigurationInformer
	objects *shared.Objects[*flowcontrolv1.PriorityLevelConfiguration]
}

func (i levelInformer) Informer() cache.SharedIndexInformer { return i.objects }

func (i levelInformer) Lister() listersv1.PriorityLevelConfigurationLister {
	return listersv1.NewPriorityLevelConfigurationLister(i.objects.Store())
}
