package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/compare"
	"github.com/pintle-io/pintle/conformance/differential/exchange"
	"github.com/pintle-io/pintle/conformance/differential/generate"
	"github.com/pintle-io/pintle/conformance/differential/report"
	"github.com/pintle-io/pintle/conformance/differential/servers"
)

const (
	prepareLimit = time.Minute
	progressStep = 15 * time.Second
)

// runner sends sequences to both servers.
type runner struct {
	upstream, pintle *servers.Server
	generator        *generate.Generator
	report           *report.Report
	only             *regexp.Regexp // what sequences are sent, by resource and shape
	sequences        atomic.Int64
}

func (r *runner) close() {
	for _, s := range []*servers.Server{r.upstream, r.pintle} {
		if s != nil {
			s.Close()
		}
	}
}

// prepare makes what sequences need, and waits until it is served.
func (r *runner) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	requests, err := generate.Prepare()
	if err != nil {
		return err
	}
	pair := exchange.NewPair(r.upstream, r.pintle)
	for _, q := range requests {
		for i, a := range pair.Do(ctx, q) {
			if a.Code != http.StatusCreated {
				return fmt.Errorf("%s answers %s %s with %d %s%s", pair[i].Server.Name, q.Method, q.Path, a.Code, a.Err, a.Body)
			}
		}
	}
	for _, path := range generate.Prepared() {
		for {
			answers := pair.Do(ctx, &exchange.Request{Method: http.MethodGet, Path: path})
			if answers[0].Code == http.StatusOK && answers[1].Code == http.StatusOK {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not served: %d from upstream, %d from pintle", path, answers[0].Code, answers[1].Code)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// run sends sequences until there are enough, time is over, or ctx ends. The
// sequences of one namespace follow each other, so that what one finds does not
// depend on how fast the machine is.
func (r *runner) run(ctx context.Context, o options, out io.Writer) error {
	var wg sync.WaitGroup
	if o.static {
		r.sequence(ctx, r.generator.First())
		wg.Go(func() { r.sequence(ctx, r.generator.Static()) })
	}
	begun, ended := time.Now(), make(chan struct{})
	for w := range generate.Namespaces {
		wg.Go(func() {
			for i := w; (o.n == 0 || i < o.n) && time.Since(begun) < o.duration && ctx.Err() == nil; i += generate.Namespaces {
				if s := r.generator.Sequence(o.from + i); r.only.MatchString(s.Resource + " " + s.Shape) {
					r.sequence(ctx, s)
				}
				r.sequences.Add(1)
			}
		})
	}
	go func() { wg.Wait(); close(ended) }()
	ticker := time.NewTicker(progressStep)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			r.progress(o, begun, out)
			if r.sequences.Load() == 0 {
				return errors.Join(errors.New("no sequence was sent"), ctx.Err())
			}
			return nil
		case <-ticker.C:
			r.progress(o, begun, out)
		}
	}
}

func (r *runner) progress(o options, begun time.Time, out io.Writer) {
	requests, differing, unknown := r.report.Counts()
	done, took := r.sequences.Load(), time.Since(begun).Round(time.Second)
	left := fmt.Sprint(max(0, o.duration-took))
	if o.n > 0 {
		left = fmt.Sprintf("%d sequences or %s", int64(o.n)-done, left)
	}
	fmt.Fprintf(out, "%s: %d requests in %d sequences (a round is %d), %d differ, %d of them unknown; left: %s\n", took, requests, done, r.generator.Round(), differing, unknown, left)
}

// sequence sends the requests of a sequence. It ends early when one server did
// what the other refused, as all that follows would differ for that reason.
func (r *runner) sequence(ctx context.Context, s *generate.Sequence) {
	pair := exchange.NewPair(r.upstream, r.pintle)
	comparison := compare.New(pair)
	if s.Number < 0 {
		comparison = compare.Loose(pair)
	}
	for i, q := range s.Requests {
		answers := pair.Do(ctx, q)
		if ctx.Err() != nil {
			return
		}
		r.report.Add(&report.Found{
			Sequence: s.Number, Shape: s.Shape, Step: i, Request: q, Answers: answers, Differences: comparison.Answers(q, answers),
		})
		if q.Method != http.MethodGet && compare.Succeeded(answers[0]) != compare.Succeeded(answers[1]) && s.Number >= 0 {
			break
		}
	}
	for _, q := range s.Cleanup {
		pair.Do(ctx, q)
	}
}
