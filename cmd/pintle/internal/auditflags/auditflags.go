// Package auditflags are the flags of the audit log, named as upstream's.
package auditflags

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/audit/backend"
)

// Add adds the flags.
func Add(fl *pflag.FlagSet, o *audit.Options) {
	paths.Var(fl, &o.PolicyFile, "audit-policy-file", o.PolicyFile, "file with the audit.k8s.io/v1 Policy that says which requests are recorded; without it none is")
	l := &o.Log
	paths.Var(fl, &l.Path, "audit-log-path", l.Path, "file to which audit events are written, or - for standard output")
	fl.IntVar(&l.MaxSize, "audit-log-maxsize", l.MaxSize, "megabytes from which the file is put aside (0: never)")
	fl.IntVar(&l.MaxBackups, "audit-log-maxbackup", l.MaxBackups, "files put aside that are kept (0: no limit)")
	fl.IntVar(&l.MaxAge, "audit-log-maxage", l.MaxAge, "days for which files put aside are kept (0: no limit)")
	fl.BoolVar(&l.Compress, "audit-log-compress", l.Compress, "compress files put aside with gzip")
	fl.StringVar(&l.Format, "audit-log-format", l.Format, "json: an event a line; legacy: a line of text")
	addBackend(fl, backend.LogName, &l.Version, &l.Batch, &l.Truncate)
	w := &o.Webhook
	paths.Var(fl, &w.ConfigFile, "audit-webhook-config-file", w.ConfigFile, "kubeconfig of a server to which audit events are sent")
	fl.DurationVar(&w.InitialBackoff, "audit-webhook-initial-backoff", w.InitialBackoff, "how long the first failed request waits for the next try")
	addBackend(fl, backend.WebhookName, &w.Version, &w.Batch, &w.Truncate)
}

// addBackend adds the flags that backends have in common.
func addBackend(fl *pflag.FlagSet, of string, version *string, b *audit.BatchOptions, t *audit.TruncateOptions) {
	flag := func(name string) string { return "audit-" + of + "-" + name }
	fl.StringVar(version, flag("version"), *version, "group and version of audit events")
	fl.StringVar(&b.Mode, flag("mode"), b.Mode, "whether requests wait until events are taken: "+strings.Join(audit.Modes, ", ")+" (the last fails requests that cannot be recorded)")
	fl.IntVar(&b.BufferSize, flag("batch-buffer-size"), b.BufferSize, "events that may wait, in batch mode; more are lost")
	fl.IntVar(&b.MaxSize, flag("batch-max-size"), b.MaxSize, "events in a batch, at most")
	fl.DurationVar(&b.MaxWait, flag("batch-max-wait"), b.MaxWait, "how long a batch waits to become full")
	fl.BoolVar(&b.ThrottleEnable, flag("batch-throttle-enable"), b.ThrottleEnable, "bound the batches in a second")
	fl.Float32Var(&b.ThrottleQPS, flag("batch-throttle-qps"), b.ThrottleQPS, "batches in a second, on average")
	fl.IntVar(&b.ThrottleBurst, flag("batch-throttle-burst"), b.ThrottleBurst, "batches at once, after a pause")
	fl.BoolVar(&t.Enabled, flag("truncate-enabled"), t.Enabled, "bound the size of events and batches")
	fl.Int64Var(&t.MaxBatchSize, flag("truncate-max-batch-size"), t.MaxBatchSize, "bytes from which a batch is divided")
	fl.Int64Var(&t.MaxEventSize, flag("truncate-max-event-size"), t.MaxEventSize, "bytes from which an event loses its bodies, and is dropped if it is still larger")
}
