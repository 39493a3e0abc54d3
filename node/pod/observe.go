package pod

import (
	"context"
	"io"
	"maps"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/logs"
	"github.com/pintle-io/pintle/node/state"
)

// observe asks the runtime about the pod, and reads the last words of
// instances that ended since.
func (k *worker) observe(ctx context.Context, pod *corev1.Pod) (*state.Pod, error) {
	seen, err := k.Runtime.Pod(ctx, k.uid, k.seen)
	if err != nil {
		return nil, err
	}
	for i := range seen.Containers {
		c := &seen.Containers[i]
		if c.Phase == state.Exited && !c.Finished {
			c.Message = lastWords(c)
			c.Finished = true
		}
	}
	k.grants.overlay(seen)
	k.owed.overlay(seen)
	return seen, nil
}

// owed are the instances, by id, that are ended so that others take their
// place. Only the agent that ends them knows: for another one, they ended by
// themselves.
type owed map[string]bool

// overlay adds to what the runtime shows what only the agent knows, and forgets
// instances that the runtime has forgotten.
func (o owed) overlay(seen *state.Pod) {
	there := make(map[string]bool, len(o))
	for i := range seen.Containers {
		c := &seen.Containers[i]
		if c.Owed = o[c.ID]; c.Owed {
			there[c.ID] = true
		}
	}
	maps.DeleteFunc(o, func(id string, _ bool) bool { return !there[id] })
}

// Limits of termination messages, upstream's.
const (
	maxMessage      = 4096
	fallbackLines   = 80
	fallbackMessage = 2048
)

// lastWords are what a container left in its termination message file, or the
// end of its log if it failed without and the policy says so, or what the
// runtime says.
func lastWords(c *state.Container) string {
	if c.TerminationMessagePath != "" {
		if text := end(c.TerminationMessagePath, maxMessage); text != "" {
			return text
		}
	}
	if c.TerminationMessagePolicy == string(corev1.TerminationMessageFallbackToLogsOnError) && c.ExitCode != 0 && c.LogPath != "" {
		if b, err := logs.Tail(c.LogPath, fallbackLines, fallbackMessage); err == nil && len(b) > 0 {
			return strings.ToValidUTF8(string(b), "")
		}
	}
	return c.Message
}

// end is the end of a file: what was written last says why.
func end(file string, limit int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() > limit {
		if _, err = f.Seek(-limit, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(b), "")
}
