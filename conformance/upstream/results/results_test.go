package results

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestReadJUnit(t *testing.T) {
	const report = `<testsuites><testsuite>
<testcase name="[ReportBeforeSuite]" status="passed"></testcase>
<testcase name="[It] [sig-node] Pods should run [Conformance] [sig-node, Conformance]" status="passed"></testcase>
<testcase name="[It] [sig-apps] Job should end [Conformance] [sig-apps, Conformance]" status="failed"><failure message="no Job&#xA;  was made"></failure></testcase>
<testcase name="[It] [sig-apps] Job should wait [sig-apps]" status="timedout"></testcase>
<testcase name="[It] [sig-storage] CSI should mount [sig-storage, Slow]" status="skipped"><skipped message="skipped - needs two nodes"></skipped></testcase>
<testcase name="[It] [sig-cli] not asked for [sig-cli, Conformance]" status="skipped"><skipped message="skipped"></skipped></testcase>
</testsuite></testsuites>`
	got, err := ReadJUnit(strings.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Test{}
	for _, test := range []Test{
		{Name: "[sig-node] Pods should run [Conformance]", Result: Passed},
		{Name: "[sig-apps] Job should end [Conformance]", Result: Failed, Why: "no Job was made"},
		{Name: "[sig-apps] Job should wait [sig-apps]", Result: Failed, Why: "timedout"},
		{Name: "[sig-storage] CSI should mount", Result: Skipped, Why: "needs two nodes"},
	} {
		want[test.Name] = test
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := ReadJUnit(strings.NewReader(report[:len(report)-40])); err == nil {
		t.Error("a report that was cut is taken for a whole one")
	}
}

func TestMerge(t *testing.T) {
	before := Table{
		{Name: "[sig-a] explained", Result: Failed, Why: "waits for quota"},
		{Name: "[sig-a] mended", Result: Failed, Why: "waits for quota"},
		{Name: "[sig-a] other"},
		{Name: "[sig-a] not run now", Result: Passed},
		{Name: "[sig-a] gone from upstream", Result: Passed},
	}
	run := map[string]Test{
		"[sig-a] explained": {Name: "[sig-a] explained", Result: Failed, Why: "timed out after 300 s"},
		"[sig-a] mended":    {Name: "[sig-a] mended", Result: Passed},
		"[sig-b] no test":   {Name: "[sig-b] no test", Result: Passed},
	}
	got := before.Merge([]string{"[sig-a] explained", "[sig-a] mended", "[sig-a] not run now", "[sig-b] new"}, run)
	want := Table{
		{Name: "[sig-a] explained", Result: Failed, Why: "waits for quota"},
		{Name: "[sig-a] mended", Result: Passed},
		{Name: "[sig-a] not run now", Result: Passed},
		{Name: "[sig-b] new", Result: NotRun},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestTable(t *testing.T) {
	table := Table{
		{Name: "[sig-node] B", Result: Failed, Why: "why"},
		{Name: "[sig-cli] A", Result: Passed},
	}
	var file bytes.Buffer
	if err := table.Write(&file); err != nil {
		t.Fatal(err)
	}
	if want := header + "\nsig-cli\tpass\t[sig-cli] A\t\nsig-node\tfail\t[sig-node] B\twhy\n"; file.String() != want {
		t.Errorf("got %q, want %q", file.String(), want)
	}
	back, err := Read(&file)
	if err != nil || !reflect.DeepEqual(back, Table{table[1], table[0]}) {
		t.Errorf("read back: %v, %v", back, err)
	}
	var summary bytes.Buffer
	if err := table.Summary(&summary); err != nil {
		t.Fatal(err)
	}
	if want := "all       2      1      1      0         0"; !strings.Contains(summary.String(), want) {
		t.Errorf("summary:\n%s\nhas no %q", summary.String(), want)
	}
	for _, bad := range []string{"sig-node\tpass\tname", "sig-node\tperhaps\tname\t"} {
		if _, err := Read(strings.NewReader(header + "\n" + bad + "\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
