package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"

	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/klog/v2"
)

// bridge sends what upstream's libraries say through klog, which is a
// process's only, to log. It must be called before they are used.
func bridge(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(warnings{log.Handler()}))
}

// warnings passes errors on as warnings and drops the rest. A library calls
// many things an error that are none of the process.
type warnings struct{ slog.Handler }

// clients are errors of a client, who is answered 400: whoever reaches the
// port, with or without an account, could fill the log with them.
var clients = map[string]bool{
	"Couldn't parse request": true, // a selector or another parameter of a list
}

// retold are errors of which whoever reads or writes the value is told, each time, and
// the watch cache tells the log once.
var retold = map[string]bool{"failed to decrypt data": true, "failed to encrypt data": true}

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, slog.LevelWarn)
}

// Handle implements slog.Handler. It is called for errors without asking
// Enabled.
func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	if !w.Enabled(ctx, r.Level) || clients[r.Message] || retold[r.Message] || ofWebhook(r) || about(r, hungUp) {
		return nil
	}
	r.Level = slog.LevelWarn
	return w.Handler.Handle(ctx, r)
}

// webhooks begin what upstream's admission says of each call of a webhook that fails or
// denies. Whoever made the request is told, and kernel/admission/webhook says once that
// one fails.
var webhooks = []string{"Failed calling webhook", "Context canceled when calling webhook", "rejected by webhook"}

// ofWebhook reports whether a record is about a call of a webhook.
func ofWebhook(r slog.Record) bool {
	for _, prefix := range webhooks {
		if strings.HasPrefix(r.Message, prefix) {
			return true
		}
	}
	return about(r, func(err error) bool {
		_, failed := errors.AsType[*webhookutil.ErrCallingWebhook](err)
		_, denied := errors.AsType[*webhookutil.ErrWebhookRejection](err)
		return failed || denied
	})
}

// about reports whether a record carries an error that is as wanted.
func about(r slog.Record, is func(error) bool) (yes bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		yes = ok && is(err)
		return !yes
	})
	return yes
}

// hungUp reports whether an error is about a connection that was closed while
// something was read from it or written to it. That is how a stream to a
// container ends.
func hungUp(err error) bool { return errors.Is(err, net.ErrClosed) }

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
