package v1alpha1

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

type columnsFunc = func(runtime.Object, metav1.TableOptions) (*metav1.Table, error)

var pluginColumns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the plugin"},
	{Name: "Host", Type: "string", Description: "What runs it"},
	{Name: "Points", Type: "string", Description: "Extension points that it serves"},
	{Name: "Phase", Type: "string", Description: "Where it is in its life"},
	{Name: "Calls", Type: "integer", Description: "Calls since it was loaded"},
	{Name: "Errors", Type: "integer", Description: "Errors and faults since it was loaded"},
	{Name: "Age", Type: "string", Description: "Time since it was created"},
	{Name: "P99", Type: "string", Priority: 1, Description: "99th percentile of the time of a call"},
	{Name: "Memory", Type: "string", Priority: 1, Description: "Memory of all instances"},
	{Name: "Message", Type: "string", Priority: 1, Description: "Why it is not Ready"},
}

// withColumns prints plugins and leaves other kinds to others.
func withColumns(others columnsFunc) columnsFunc {
	return func(obj runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
		var items []Plugin
		switch x := obj.(type) {
		case *Plugin:
			items = []Plugin{*x}
		case *PluginList:
			items = x.Items
		default:
			if others == nil {
				return nil, nil
			}
			return others(obj, o)
		}
		t := &metav1.Table{}
		if !o.NoHeaders {
			t.ColumnDefinitions = pluginColumns
		}
		for i := range items {
			p := &items[i]
			t.Rows = append(t.Rows, metav1.TableRow{Cells: cells(p), Object: runtime.RawExtension{Object: p}})
		}
		return t, nil
	}
}

func cells(p *Plugin) []any {
	age, memory, points := "<unknown>", "<none>", "<none>"
	if !p.CreationTimestamp.IsZero() {
		age = duration.HumanDuration(time.Since(p.CreationTimestamp.Time))
	}
	if p.Status.Memory != nil {
		memory = p.Status.Memory.String()
	}
	if len(p.Status.Points) > 0 {
		points = strings.Join(p.Status.Points, ",")
	}
	return []any{p.Name, string(p.Spec.Host), points, string(p.Status.Phase), p.Status.Calls, p.Status.Errors + p.Status.Faults, age,
		p.Status.P99.Duration.String(), memory, p.Status.Message}
}
