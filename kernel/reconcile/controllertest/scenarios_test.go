package controllertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/util/jsonpath"

	"github.com/pintle-io/pintle/kernel/registry"
)

// scenarioFiles are the scenarios of controllers: testdata/scenarios/CONTROLLER/WHAT.txt.
func scenarioFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/scenarios/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	return files
}

// scenario runs a file. A line is a command; # begins prose. `ago "5m"` and `in "5m"` in
// double braces are times from now.
//
//	clock TIME                   the time stands still from here on, before run; without,
//	                             it is the real one. Controllers, the API and nodes go by it
//	config PLUGIN JSON           before run
//	run PLUGIN …                 the plugins, first of all
//	advance DURATION             lets time pass, when the controllers have been at rest for a moment:
//	                             what they were told of before belongs to the time before
//	serve PATH JSON              what is answered to who asks the API for what it does not
//	                             keep, metrics for example; the first one before run
//	nodes NAME …                 nodes that run every pod and say so; without, pods wait for patches
//	create                       makes the objects of the YAML that follows, up to an empty line
//	patch KIND WHICH [SUBRESOURCE] JSON
//	                             a merge patch
//	delete KIND WHICH [Background|Foreground|Orphan]
//	restart                      every controller is stopped, loses what it remembers, and starts anew
//	want KIND WHICH PATH=VALUE … waits until the fields are so; a path is one of kubectl's -o jsonpath
//	count KIND WHICH N           waits until there are so many that are not being deleted
//	gone KIND NAME               waits until there is none, not even one that is being deleted
//	event KIND NAME REASON MESSAGE …
//	                             waits until an event about it begins so
//
// WHICH is a name, with /NAMESPACE behind it if it is not in "default", a label selector
// (which has an =), or * for all of the kind.
func scenario(t *testing.T, h host, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	at := func(sign time.Duration) func(string) (string, error) {
		return func(s string) (string, error) {
			d, err := time.ParseDuration(s)
			return now.Add(sign * d).Format(time.RFC3339), err
		}
	}
	tmpl, err := template.New(file).Funcs(template.FuncMap{"ago": at(-1), "in": at(1)}).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	s := &scenarioRun{t: t, h: h}
	lines := strings.Split(b.String(), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			continue
		}
		where := fmt.Sprintf("%s:%d: %s", file, i+1, line)
		if line == "create" {
			from := i + 1
			for i+1 < len(lines) && strings.TrimSpace(lines[i+1]) != "" {
				i++
			}
			s.create(where, strings.Join(lines[from:i+1], "\n"))
			continue
		}
		s.line(where, line, strings.Fields(line))
	}
}

type scenarioRun struct {
	t       *testing.T
	h       host
	c       *cluster
	in      surroundings
	plugins []string
}

func (s *scenarioRun) line(where, line string, f []string) {
	t, c := s.t, s.c
	t.Helper()
	switch f[0] {
	case "run":
		s.plugins = f[1:]
		s.c = newClusterIn(t, s.h, s.in, s.plugins...)
	case "clock":
		at, err := time.Parse(time.RFC3339, f[1])
		if err != nil {
			t.Fatal(where, err)
		}
		s.in.clock = newVirtual(at)
	case "advance":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(where, err)
		}
		c.rest(t)
		c.clock.(*virtual).advance(d)
	case "config":
		if s.in.configs == nil {
			s.in.configs = map[string][]byte{}
		}
		s.in.configs[f[1]] = []byte(line[strings.IndexByte(line, '{'):])
	case "serve":
		if s.in.served == nil {
			s.in.served = &answers{}
		}
		s.in.served.(*answers).set(f[1], line[strings.IndexByte(line, '{'):])
	case "nodes":
		startNodes(t, c, f[1:]...)
	case "restart":
		for _, name := range s.plugins {
			if c.manager.Remove(name) {
				c.start(t, name, &user.DefaultInfo{Name: "system:controllers"})
			}
		}
	case "patch":
		body := line[strings.IndexByte(line, '{'):]
		sub := ""
		if !strings.HasPrefix(f[3], "{") {
			sub = f[3]
		}
		eventually(t, where, func() string {
			return s.each(f[1], f[2], func(tg registry.Target) error { return s.patch(tg, sub, body) })
		})
	case "delete":
		policy := ""
		if len(f) > 3 {
			policy = f[3]
		}
		eventually(t, where, func() string {
			return s.each(f[1], f[2], func(tg registry.Target) error {
				o := metav1.DeleteOptions{}
				if policy != "" {
					o.PropagationPolicy = (*metav1.DeletionPropagation)(&policy)
				}
				_, err := c.Delete(context.Background(), tg, o)
				return err
			})
		})
	default:
		eventually(t, where, func() string { return s.check(line, f) })
	}
}

// rest waits until something has been reconciled, and then nothing more, or was ready to be,
// for a moment. What is asked of an instance meanwhile may still take longer: its delays count
// from when it was asked.
func (c *cluster) rest(t *testing.T) {
	t.Helper()
	const moment = 250 * time.Millisecond
	last, since := -1.0, time.Now()
	eventually(t, "controllers at rest", func() string {
		done, ready := 0.0, 0.0
		families, err := c.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				switch f.GetName() {
				case "pintle_reconcile_total":
					done += m.GetCounter().GetValue()
				case "workqueue_depth":
					ready += m.GetGauge().GetValue()
				}
			}
		}
		if done != last || done == 0 || ready > 0 { // a process takes a while to start
			last, since = done, time.Now()
		}
		if time.Since(since) < moment {
			return fmt.Sprintf("%v done, %v ready", done, ready)
		}
		return ""
	})
}

// answers are what is served, by path.
type answers struct{ sync.Map }

func (a *answers) set(path, body string) { a.Store(path, body) }

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := a.Load(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body.(string))
}

func (s *scenarioRun) create(where, text string) {
	s.t.Helper()
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			s.t.Fatalf("%s: %v", where, err)
		}
		obj, _, strict, err := s.c.codec.DecodeRequest(raw, "application/json", nil, true)
		if err = errors.Join(append(strict, err)...); err != nil {
			s.t.Fatalf("%s: %v", where, err)
		}
		s.c.mustCreate(s.t, obj)
	}
}

func (s *scenarioRun) patch(tg registry.Target, sub, body string) error {
	tg.Subresource = sub
	_, err := s.c.Patch(context.Background(), tg, types.MergePatchType, []byte(body), registry.WriteOptions{FieldManager: "test"})
	return err
}

// each does something to the objects, of which there must be one at least; what is not
// done yet is tried again.
func (s *scenarioRun) each(kind, which string, do func(registry.Target) error) string {
	s.t.Helper()
	list := s.find(kind, which)
	if len(list) == 0 {
		return "there is none"
	}
	for _, o := range list {
		if err := do(s.c.target(s.t, o)); err != nil {
			return err.Error()
		}
	}
	return ""
}

// find lists the objects in order of their names, those that are being deleted too.
func (s *scenarioRun) find(kind, which string) (out []runtime.Object) {
	s.t.Helper()
	probe := s.newOf(kind)
	if which != "*" && !strings.Contains(which, "=") {
		name, ns, _ := strings.Cut(which, "/")
		probe.(metav1.Object).SetName(name)
		probe.(metav1.Object).SetNamespace(ns)
		o, err := s.c.Get(context.Background(), s.c.target(s.t, probe), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			s.t.Fatal(err)
		}
		return []runtime.Object{o.Obj}
	}
	if which == "*" {
		which = ""
	}
	if _, err := labels.Parse(which); err != nil {
		s.t.Fatal(err)
	}
	l, err := s.c.List(context.Background(), s.c.target(s.t, probe), metav1.ListOptions{LabelSelector: which})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range l.Items {
		out = append(out, o.Obj)
	}
	return out
}

// newOf makes an empty object of a kind, whatever its group.
func (s *scenarioRun) newOf(kind string) runtime.Object {
	s.t.Helper()
	for gvk := range s.c.table.Scheme.AllKnownTypes() {
		if gvk.Kind != kind || gvk.Version == runtime.APIVersionInternal || s.c.table.LookupKind(gvk.GroupKind()) == nil {
			continue
		}
		obj, err := s.c.table.Scheme.New(gvk)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, ok := obj.(metav1.Object); ok && s.c.target(s.t, obj).Resource.Version == gvk.Version {
			return obj
		}
	}
	s.t.Fatalf("there is no kind %s", kind)
	return nil
}

// check tells what is not yet so; "" is nothing.
func (s *scenarioRun) check(line string, f []string) string {
	s.t.Helper()
	switch f[0] {
	case "want":
		list := s.find(f[1], f[2])
		if len(list) == 0 {
			return "there is none"
		}
		var checks []string
		for _, o := range list {
			for _, w := range f[3:] {
				i := strings.LastIndexByte(w, '=') // a path may have some in filters
				checks = append(checks, equal(w[:i], s.field(o, w[:i]), w[i+1:]))
			}
		}
		return all(checks...)
	case "count":
		want, err := strconv.Atoi(f[3])
		if err != nil {
			s.t.Fatal(err)
		}
		list := slices.DeleteFunc(s.find(f[1], f[2]), func(o runtime.Object) bool { return o.(metav1.Object).GetDeletionTimestamp() != nil })
		return equal("objects", len(list), want)
	case "gone":
		return equal("objects", len(s.find(f[1], f[2])), 0)
	case "event":
		for _, e := range list[corev1.Event](s.t, s.c, "") {
			if e.InvolvedObject.Kind == f[1] && e.InvolvedObject.Name == f[2] && e.Reason == f[3] && strings.HasPrefix(e.Message, strings.Join(f[4:], " ")) {
				return ""
			}
		}
		return "there is no such event"
	}
	s.t.Fatalf("unknown command %q", line)
	return ""
}

// field reads a field as kubectl's jsonpath prints it; "" when it is not there.
func (s *scenarioRun) field(o runtime.Object, path string) string {
	s.t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		s.t.Fatal(err)
	}
	p := jsonpath.New(path).AllowMissingKeys(true)
	if err := p.Parse("{" + path + "}"); err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Execute(&b, fields); err != nil {
		s.t.Fatal(err)
	}
	if b.String() == "null" {
		return ""
	}
	return b.String()
}
