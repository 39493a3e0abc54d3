package scheduling

import (
	"reflect"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// partReads read every part of a pod.
var partReads = [lenParts]func(p *Pod) any{
	partNamespace:     func(p *Pod) any { return p.Namespace() },
	partName:          func(p *Pod) any { return p.Name() },
	partUID:           func(p *Pod) any { return p.UID() },
	partNodeName:      func(p *Pod) any { return p.NodeName() },
	partSchedulerName: func(p *Pod) any { return p.SchedulerName() },
	partLabels:        func(p *Pod) any { return p.Labels() },
	partAnnotations:   func(p *Pod) any { return p.Annotations() },
	partNodeSelector:  func(p *Pod) any { return p.NodeSelector() },
	partPriority:      func(p *Pod) any { return p.Priority() },
	partRequests:      func(p *Pod) any { return *p.Requests() },
	partNonZero:       func(p *Pod) any { return *p.NonZeroRequests() },
	partAffinity:      func(p *Pod) any { return p.Affinity() },
	partTolerations:   func(p *Pod) any { return p.Tolerations() },
	partImages:        func(p *Pod) any { return p.Images() },
	partPorts:         func(p *Pod) any { return p.Ports() },
	partClaims:        func(p *Pod) any { return p.Claims() },
}

// declareParts declares all parts.
func declareParts() *declaration {
	d := &declaration{}
	p := &Pod{by: d}
	for _, read := range partReads {
		read(p)
	}
	return d
}

// checkParts reads a record by hand and by its type, and compares. It tells how
// many parts were read by hand.
func checkParts(t *testing.T, b []byte, d *declaration) (byHand int) {
	t.Helper()
	var p, q Pod
	err := p.open(b, d)
	if again := q.open(b, d); (err == nil) != (again == nil) {
		t.Fatal(err, again)
	}
	if err != nil {
		return 0
	}
	q.where = nil
	for x, read := range partReads {
		was := p.reader
		if got, want := read(&p), read(&q); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %s is %+v by hand, %+v by its type", b, parts[x].path, got, want)
		}
		if p.reader != was && p.reader.Err() == nil {
			byHand++
		}
	}
	if (p.err == nil) != (q.err == nil) || p.err != nil && p.err.Error() != q.err.Error() {
		t.Errorf("%q: %v by hand, %v by its type", b, p.err, q.err)
	}
	return byHand
}

func wholePod() PodInfo {
	terms := []NodeTerm{{Expressions: []Requirement{{Key: "k", Operator: "In", Values: []string{"1", "2"}}, {Key: "l", Operator: "Exists"}}}, {}}
	return PodInfo{
		Namespace: "ns", Name: "n", UID: "u", Labels: map[string]string{"a": "b", "c": ""}, Annotations: map[string]string{"x/y": "z"},
		NodeName: "node", SchedulerName: "s", Priority: -5, NodeSelector: map[string]string{"k": "v"},
		Requests: Resources{MilliCPU: 1, Memory: 9 << 40, Ephemeral: 3, Extended: []Amount{{Name: "e/gpu", Value: 4}, {Name: "e/x", Value: -1}}}, NonZero: Resources{Memory: 200},
		Affinity:    &NodeAffinity{Required: &NodeSelector{Terms: terms}, Preferred: []PreferredTerm{{Weight: 7, Term: terms[0]}}},
		Tolerations: []Toleration{{Key: "t", Operator: "Exists", Effect: "NoSchedule"}, {}},
		Images:      []string{"i", "j"}, Ports: []HostPort{{IP: "0.0.0.0", Protocol: "TCP", Port: 80}, {Port: 1}},
		Claims: []Claim{{Namespace: "ns", Name: "c"}, {Namespace: "ns", Name: "p-e", PodName: "p", PodUID: "u"}},
	}
}

func partRecord(t testing.TB, info PodInfo, d *declaration) []byte {
	t.Helper()
	text := d.text()
	b, err := info.Record(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPartsByHand: what is read by hand is what Decode makes of it, whatever is
// there and whatever else is declared.
func TestPartsByHand(t *testing.T) {
	for name, info := range map[string]PodInfo{
		"whole": wholePod(), "nothing": {},
		"terms without anything": {Affinity: &NodeAffinity{Required: &NodeSelector{}, Preferred: []PreferredTerm{{}}}},
		"empty affinity":         {Affinity: &NodeAffinity{}},
	} {
		t.Run(name, func(t *testing.T) {
			d := declareParts()
			if n := checkParts(t, partRecord(t, info, d), d); name == "whole" && n != lenParts {
				t.Errorf("%d parts were read by hand, want all %d", n, lenParts)
			}
			for _, more := range []string{"spec.tolerations", "effective.requests.more", "spec.affinity.nodeAffinity.more", "metadata"} {
				d.hasPath(more)
				checkParts(t, partRecord(t, info, d), d)
			}
		})
	}
}

// TestPartsOfAnotherForm: a value that is not what the API has there is told, and a
// number that JSON would read is read.
func TestPartsOfAnotherForm(t *testing.T) {
	for _, o := range []map[string]any{
		{"spec": map[string]any{"priority": int64(1) << 40}},
		{"spec": map[string]any{"priority": "high"}},
		{"spec": map[string]any{"tolerations": map[string]any{"key": "x"}}},
		{"spec": map[string]any{"nodeSelector": map[string]any{"k": 1}}},
		{"effective": map[string]any{"images": []any{1}, "hostPorts": []any{map[string]any{"hostPort": 1 << 40}}}},
	} {
		d := declareParts()
		checkParts(t, partRecord(t, PodInfo{Object: o}, d), d)
	}
}

// TestNextPod: of a pod before nothing is left.
func TestNextPod(t *testing.T) {
	d := declareParts()
	var p Pod
	if err := p.open(partRecord(t, wholePod(), d), d); err != nil {
		t.Fatal(err)
	}
	for _, read := range partReads {
		read(&p)
	}
	if err := p.open(partRecord(t, PodInfo{Name: "next"}, d), d); err != nil {
		t.Fatal(err)
	}
	for x, read := range partReads {
		if got := reflect.ValueOf(read(&p)); part(x) != partName && !got.IsZero() {
			t.Errorf("%s of a pod without it is %v", parts[x].path, got)
		}
	}
	if p.Name() != "next" {
		t.Errorf("name %q", p.Name())
	}
}

// FuzzParts: of any bytes, what is read by hand is what Decode makes of it.
func FuzzParts(f *testing.F) {
	d := declareParts()
	f.Add(partRecord(f, wholePod(), d))
	f.Add(partRecord(f, PodInfo{}, d))
	f.Add([]byte{record.Struct, 1, 0, 0, 0, record.None})
	f.Fuzz(func(t *testing.T, b []byte) { checkParts(t, b, d) })
}

// BenchmarkParts reads a usual pod.
func BenchmarkParts(b *testing.B) {
	d := declareParts()
	rec := partRecord(b, wholePod(), d)
	var p Pod
	b.ReportAllocs()
	for b.Loop() {
		if err := p.open(rec, d); err != nil {
			b.Fatal(err)
		}
		for _, read := range partReads {
			read(&p)
		}
	}
}
