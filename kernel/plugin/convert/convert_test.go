package convert

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/conversion"
	"github.com/pintle-io/pintle/sdk/wire"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "stamp", New: func(config []byte) (sdk.Points, error) {
		return &conversion.Points{Convert: func(r conversion.Request) ([]byte, error) {
			if string(r.Object) == "bad" {
				return nil, errors.New("it is bad")
			}
			return []byte(string(r.Object) + " to " + r.To + string(config)), nil
		}}, nil
	}})
}

func load(t *testing.T, config string) *plugin.Plugin {
	t.Helper()
	p, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: "stamp", Host: native.Host{}, Spec: v1alpha1.PluginSpec{Host: v1alpha1.HostNative},
		Options: plugin.OpenOptions{Name: "stamp", Config: []byte(config)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asked is what became of a conversion.
type asked struct {
	text string
	err  error
}

func ask(ctx context.Context, s *Sink, object string) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		out, err := s.Convert(ctx, "stamp", [][]byte{[]byte(object)}, "v2")
		a := asked{err: err}
		if len(out) == 1 {
			a.text = string(out[0])
		}
		done <- a
	}()
	return done
}

// TestSink: objects wait for a plugin that is being loaded, and for those that were there
// at the start; else they are told at once what is missing.
func TestSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		synced := make(chan struct{})
		s := New(Config{Synced: func() <-chan struct{} { return synced }})
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		want := func(what string, done <-chan asked, text, fault string) {
			t.Helper()
			a := <-done
			if a.text != text || (fault == "") != (a.err == nil) || fault != "" && !strings.Contains(a.err.Error(), fault) {
				t.Errorf("%s: %q, %v; want %q, %q", what, a.text, a.err, text, fault)
			}
		}
		waits := func(what string, done <-chan asked) {
			t.Helper()
			synctest.Wait()
			if len(done) > 0 {
				t.Errorf("%s: it does not wait", what)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		early := ask(t.Context(), s, "a")
		waits("before plugins are synced", early)
		close(synced)
		want("nobody of the name", early, "", `there is no plugin "stamp" that converts`)

		must(s.Expect("stamp", plugin.Expected{}))
		first := ask(t.Context(), s, "a")
		waits("a first load", first)
		must(s.Set(t.Context(), "stamp", load(t, "")))
		want("a first load", first, "a to v2", "")
		want("an error of the plugin", ask(t.Context(), s, "bad"), "", "object 1 of 1: it is bad")

		must(s.Set(t.Context(), "stamp", load(t, "!")))
		want("another version", ask(t.Context(), s, "a"), "a to v2!", "")

		must(s.Expect("stamp", plugin.Expected{Points: wire.PointConvert}))
		want("a load that takes too long", ask(t.Context(), s, "a"), "", "is not loaded after 10s")
		ctx, cancel := context.WithCancel(t.Context())
		gone := ask(ctx, s, "a")
		waits("a load", gone)
		cancel()
		want("a client that goes", gone, "", context.Canceled.Error())

		must(s.Expect("stamp", plugin.Expected{Points: wire.PointConvert, Err: errors.New("no such module")}))
		want("what cannot be loaded", ask(t.Context(), s, "a"), "", `plugin "stamp" is not loaded: no such module`)
		must(s.Expect("stamp", plugin.Expected{Points: wire.PointValidate}))
		want("one that does not convert", ask(t.Context(), s, "a"), "", "there is no plugin")
	})
}

// TestReplacedMeanwhile: who was given a plugin before it was taken away gets his answer.
func TestReplacedMeanwhile(t *testing.T) {
	synced := make(chan struct{})
	close(synced)
	s := New(Config{Synced: func() <-chan struct{} { return synced }})
	if err := s.Set(t.Context(), "stamp", load(t, "")); err != nil {
		t.Fatal(err)
	}
	pool, err := s.await(t.Context(), "stamp")
	if err != nil {
		t.Fatal(err)
	}
	s.Remove("stamp")
	if err := pool.Do(t.Context(), func(in plugin.Instance) error {
		_, err := in.Call(t.Context(), wire.OpConvert, wire.Conversion{To: "v2"}.Append(nil))
		return err
	}); err != nil {
		t.Errorf("a conversion that had begun: %v", err)
	}
	s.Trim()
}
