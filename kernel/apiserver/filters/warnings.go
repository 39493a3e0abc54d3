package filters

import (
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"k8s.io/apiserver/pkg/warning"
)

// warnings puts warning headers on the answer, each text once and all of them
// within upstream's bounds.
type warnings struct {
	w    http.ResponseWriter
	seen map[string]bool
	size int
}

const (
	maxWarning  = 256  // runes of one warning when there are many
	maxWarnings = 4096 // bytes of all
)

func newWarnings(w http.ResponseWriter) *warnings { return &warnings{w: w} }

// AddWarning implements warning.Recorder. It is called by the one goroutine
// that serves the request, before the answer is written.
func (ws *warnings) AddWarning(agent, text string) {
	if text == "" || ws.seen[text] {
		return
	}
	if ws.seen == nil {
		ws.seen = map[string]bool{}
	}
	ws.seen[text] = true
	if agent == "" {
		agent = "-"
	}
	if ws.size+len(text) > maxWarnings {
		if rs := []rune(text); len(rs) > maxWarning {
			text = string(rs[:maxWarning])
		}
		if ws.size+len(text) > maxWarnings {
			return
		}
	}
	if h, err := utilnet.NewWarningHeader(299, agent, text); err == nil {
		ws.size += len(text)
		ws.w.Header().Add("Warning", h)
	}
}

var _ warning.Recorder = (*warnings)(nil)
