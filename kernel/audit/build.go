package audit

import (
	"context"
	"fmt"

	"github.com/pintle-io/pintle/kernel/audit/backend"
)

// builder makes the backends that options name.
type builder struct {
	c       *Config
	metrics *metrics
	stopped context.Context
}

func (b *builder) build() (backend.Backend, error) {
	var all backend.Union
	if b.c.Options.Log.Path != "" {
		l, err := b.log(&b.c.Options.Log)
		if err != nil {
			return nil, fmt.Errorf("--audit-log-path: %w", err)
		}
		all = append(all, l)
	}
	if b.c.Webhook.ConfigFile != "" {
		w, err := b.webhook(&b.c.Webhook)
		if err != nil {
			_ = all.Close() // nothing has been written
			return nil, fmt.Errorf("--audit-webhook-config-file %s: %w", b.c.Webhook.ConfigFile, err)
		}
		all = append(all, w)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func (b *builder) health(plugin string) *backend.Health {
	return backend.NewHealth(plugin, b.metrics.errors, b.c.Log, b.c.Clock)
}

func (b *builder) log(o *LogOptions) (backend.Backend, error) {
	out, err := o.Open()
	if err != nil {
		return nil, err
	}
	l := backend.NewLog(out, o.Format, b.health(backend.LogName))
	return b.truncated(b.mode(l, &o.Batch, 1), &o.Truncate), nil
}

func (b *builder) webhook(o *WebhookOptions) (backend.Backend, error) {
	w, err := backend.NewWebhook(backend.WebhookConfig{
		File: o.ConfigFile, InitialBackoff: o.InitialBackoff, Dial: b.c.Dial,
		Stop: b.stopped, Clock: b.c.Clock, Health: b.health(backend.WebhookName),
	})
	if err != nil {
		return nil, err
	}
	return b.truncated(b.mode(w, &o.Batch, senders), &o.Truncate), nil
}

// senders are the batches that are on their way to a webhook at once. Upstream has
// no bound: while a webhook is away, they are what fills the memory.
const senders = 15

// maxWaiting bounds the bytes of events that wait for a backend: clients say how large
// one is.
const maxWaiting = 256 << 20

func (b *builder) mode(next backend.Backend, o *BatchOptions, senders int) backend.Backend {
	switch o.Mode {
	case ModeBlockingStrict:
		return next
	case ModeBlocking:
		return backend.Lenient(next)
	}
	c := backend.BufferConfig{
		Size: o.BufferSize, Bytes: maxWaiting, BatchSize: o.MaxSize, BatchWait: o.MaxWait, Senders: senders,
		Stop: b.stopped, Clock: b.c.Clock, Health: b.health(backend.BufferName),
	}
	if o.ThrottleEnable {
		c.QPS, c.Burst = float64(o.ThrottleQPS), o.ThrottleBurst
	}
	return backend.NewBuffer(next, c)
}

func (b *builder) truncated(next backend.Backend, o *TruncateOptions) backend.Backend {
	if !o.Enabled {
		return next
	}
	return &backend.Truncate{Next: next, MaxEvent: o.MaxEventSize, MaxBatch: o.MaxBatchSize, Health: b.health(backend.TruncateName)}
}
