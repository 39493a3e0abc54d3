package executor

import (
	"context"
	"io"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/logs"
	"github.com/pintle-io/pintle/node/state"
)

// Observer looks at what the runtime holds of a pod.
type Observer struct {
	Runtime interface {
		Pod(ctx context.Context, uid types.UID, known *state.Pod) (*state.Pod, error)
	}
}

// Observe asks the runtime, and reads the last words of instances that ended
// since known, which is nil at first.
func (o Observer) Observe(ctx context.Context, uid types.UID, known *state.Pod) (*state.Pod, error) {
	seen, err := o.Runtime.Pod(ctx, uid, known)
	if err != nil {
		return nil, err
	}
	for i := range seen.Containers {
		c := &seen.Containers[i]
		if c.Phase == state.Exited && !c.Finished {
			c.Message = terminationMessage(c)
			c.Finished = true
		}
	}
	return seen, nil
}

// Limits of termination messages, upstream's.
const (
	maxMessage      = 4096
	fallbackLines   = 80
	fallbackMessage = 2048
)

// terminationMessage are what a container left in its termination message file, or the
// end of its log if it failed without and the policy says so, or what the
// runtime says.
func terminationMessage(c *state.Container) string {
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
