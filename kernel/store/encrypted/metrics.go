package encrypted

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"k8s.io/component-base/metrics/legacyregistry"
)

// families are the beginnings of the names of the metrics that upstream's providers
// keep in upstream's own registry, which is the process's.
var families = []string{"apiserver_encryption_config_controller_", "apiserver_envelope_encryption_", "apiserver_storage_"}

// Collector shows what upstream's providers count, under upstream's names.
type Collector struct{}

// Describe implements prometheus.Collector: what there is depends on the providers.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (Collector) Collect(out chan<- prometheus.Metric) {
	all, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil { // what could be gathered is there all the same
		out <- prometheus.NewInvalidMetric(prometheus.NewDesc("apiserver_storage_gather_error", "Upstream's registry.", nil, nil), err)
	}
	for _, f := range all {
		if !slices.ContainsFunc(families, func(prefix string) bool { return strings.HasPrefix(f.GetName(), prefix) }) {
			continue
		}
		for _, m := range f.GetMetric() {
			names := make([]string, 0, len(m.GetLabel()))
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
			}
			out <- gathered{prometheus.NewDesc(f.GetName(), f.GetHelp(), names, nil), m}
		}
	}
}

// gathered is a metric that was gathered already.
type gathered struct {
	desc *prometheus.Desc
	m    *dto.Metric
}

func (g gathered) Desc() *prometheus.Desc { return g.desc }

func (g gathered) Write(m *dto.Metric) error {
	proto.Merge(m, g.m)
	return nil
}

var _ prometheus.Collector = Collector{}
