package backend

import (
	"context"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/utils/clock"
)

// WebhookConfig says how a webhook is reached.
type WebhookConfig struct {
	File string // a kubeconfig
	// InitialBackoff is waited before the second try, and half as much again before
	// each one after it; there are five.
	InitialBackoff time.Duration
	Dial           func(ctx context.Context, network, address string) (net.Conn, error) // nil dials directly

	Stop   context.Context // ended: nothing is tried a second time
	Clock  clock.Clock
	Health *Health
}

// lastCall bounds a call that is made while the server ends.
const lastCall = 5 * time.Second

// Webhook sends events to a server as an audit.k8s.io/v1 EventList.
type Webhook struct {
	c WebhookConfig
	w *webhookutil.GenericWebhook
}

// NewWebhook reads the kubeconfig. Nobody is called.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	config, err := webhookutil.LoadKubeconfig(c.File, c.Dial)
	if err != nil {
		return nil, err
	}
	w, err := webhookutil.NewGenericWebhook(audit.Scheme, audit.Codecs, config, []schema.GroupVersion{auditv1.SchemeGroupVersion},
		webhookutil.DefaultRetryBackoffWithInitialDelay(c.InitialBackoff))
	if err != nil {
		return nil, err
	}
	return &Webhook{c: c, w: w}, nil
}

// ProcessEvents implements Backend. It returns when the webhook has the events, or
// they are given up.
func (w *Webhook) ProcessEvents(events ...*auditinternal.Event) bool {
	list := auditinternal.EventList{Items: make([]auditinternal.Event, len(events))}
	for i, ev := range events {
		list.Items[i] = *ev
	}
	retry := w.w.RetryBackoff
	for {
		err := w.post(&list)
		if err == nil {
			w.c.Health.Succeeded()
			return true
		}
		if retry.Steps <= 1 || !w.pause(&retry) {
			w.c.Health.Failed(err, len(events))
			return false
		}
		w.c.Health.Failed(err, 0) // nothing is lost yet
	}
}

// pause waits for the next try; it reports false when there is none.
func (w *Webhook) pause(retry *wait.Backoff) bool {
	timer := w.c.Clock.NewTimer(retry.Step())
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-w.c.Stop.Done():
		return false
	}
}

func (w *Webhook) post(list *auditinternal.EventList) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(w.c.Stop, func() {
		timer := w.c.Clock.NewTimer(lastCall)
		defer timer.Stop()
		select {
		case <-timer.C():
			cancel()
		case <-ctx.Done():
		}
	})()
	return w.w.RestClient.Post().MaxRetries(0).Body(list).Do(ctx).Error()
}

// Close implements Backend.
func (w *Webhook) Close() error { return nil }

var _ Backend = (*Webhook)(nil)
