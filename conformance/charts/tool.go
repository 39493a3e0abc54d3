package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// patience is how long what must happen may take.
const patience = 40 * time.Second

// tool is kubectl as a user has it.
type tool struct {
	command []string // the program and what goes before all arguments
	env     []string
	dir     string // for its cache
}

// action is a step's work.
type action func(context.Context) error

// step is one line of the table.
type step struct {
	what string
	do   action
	note *string // what the step found out, if it finds anything out
}

// run runs kubectl, with what stands on its standard input. What it printed comes back
// with the error, too.
func (k *tool) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	all := append(k.command[1:len(k.command):len(k.command)], "--cache-dir", k.dir)
	cmd := exec.CommandContext(ctx, k.command[0], append(all, args...)...)
	cmd.Env, cmd.Stdin = k.env, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, brief(out))
	}
	return string(out), err
}

// brief is the end of what a program printed, where it says why it failed.
func brief(out []byte) string {
	if text := strings.TrimSpace(string(out)); len(text) > 600 {
		return "… " + text[len(text)-600:]
	} else {
		return text
	}
}

// until tries again, with longer and longer pauses, what must happen.
func until(ctx context.Context, f action) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // else it was cut short, and the one before says more
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
	}
}

// in gives arguments the namespace of a chart; "" is none.
func in(chart string, args []string) []string {
	if chart == "" {
		return args
	}
	return append([]string{"--namespace", "charts-" + chart}, args...)
}

// does runs kubectl, which must succeed.
func (k *tool) does(chart string, args ...string) action {
	return func(ctx context.Context) error {
		_, err := k.run(ctx, nil, in(chart, args)...)
		return err
	}
}

// wants runs kubectl until it prints text.
func (k *tool) wants(text, chart string, args ...string) action {
	return k.wantsFields([]string{text}, chart, args...)
}

// wantsFields runs kubectl until it prints all texts, in their order.
func (k *tool) wantsFields(texts []string, chart string, args ...string) action {
	return func(ctx context.Context) error {
		return until(ctx, func(ctx context.Context) error {
			out, err := k.run(ctx, nil, in(chart, args)...)
			if err != nil {
				return err
			}
			rest := out
			for _, text := range texts {
				_, after, ok := strings.Cut(rest, text)
				if !ok {
					return fmt.Errorf("kubectl %s: wants %q, has %q", strings.Join(args, " "), text, brief([]byte(out)))
				}
				rest = after
			}
			return nil
		})
	}
}

// applies applies objects.
func (k *tool) applies(o object, args ...string) action { return k.appliesAll([]object{o}, args...) }

func (k *tool) appliesAll(objects []object, args ...string) action {
	return func(ctx context.Context) error {
		text, err := manifest(objects)
		if err != nil {
			return err
		}
		_, err = k.run(ctx, text, append([]string{"apply", "-f", "-"}, args...)...)
		return err
	}
}

// refuses applies an object, which must be refused with text.
func (k *tool) refuses(text string, objects ...object) action {
	return k.refusesBy(text, objects, "--server-side", "--force-conflicts")
}

func (k *tool) refusesBy(text string, objects []object, args ...string) action {
	apply := k.appliesAll(objects, args...)
	return func(ctx context.Context) error {
		accepted := false
		err := until(ctx, func(ctx context.Context) error {
			switch err := apply(ctx); {
			case err == nil:
				accepted = true
			case !strings.Contains(err.Error(), text):
				return fmt.Errorf("refused without %q: %w", text, err)
			}
			return nil
		})
		if accepted {
			return errors.New("it was accepted")
		}
		return err
	}
}

// unchanged applies an object again, which must write nothing.
func (k *tool) unchanged(o object) action {
	name := fmt.Sprintf("%s/%s", strings.ToLower(o["kind"].(string)), o["metadata"].(object)["name"])
	return func(ctx context.Context) error {
		get := []string{"get", name, "-o", "jsonpath={.metadata.generation} {.metadata.resourceVersion}"}
		before, err := k.run(ctx, nil, get...)
		if err != nil {
			return err
		}
		if err := k.applies(o, "--server-side")(ctx); err != nil {
			return err
		}
		after, err := k.run(ctx, nil, get...)
		if err == nil && before != after {
			err = fmt.Errorf("generation and resourceVersion were %s, are %s", before, after)
		}
		return err
	}
}

// deletes deletes objects and waits until they are gone.
func (k *tool) deletes(objects []object) action {
	return func(ctx context.Context) error {
		text, err := manifest(objects)
		if err != nil {
			return err
		}
		_, err = k.run(ctx, text, "delete", "-f", "-", "--ignore-not-found", "--timeout=300s")
		return err
	}
}

// manifest is what a file of the objects has.
func manifest(objects []object) ([]byte, error) {
	var out bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
