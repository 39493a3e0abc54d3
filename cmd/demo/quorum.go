package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// A database of several members, each with a store of its own. What is written
// is on the disks of a majority before anybody is told so, and what is read comes
// from a majority: any two have a member in common, so that nothing is lost, nor
// an older value seen after a newer one, while more than half of them run. There
// is no leader (Attiya, Bar-Noy, Dolev: Sharing Memory Robustly in Message-Passing
// Systems, 1995; with several writers: Lynch, Shvartsman, 1997).

// member is one of them, here or on another machine.
type member interface {
	read(ctx context.Context, key string) (entry, error)
	write(ctx context.Context, key string, e entry) error
}

// memberTimeout bounds one question to one member.
const memberTimeout = 3 * time.Second

var errNoMajority = errors.New("too few members answer")

type database struct {
	name    string // of this member
	members []member
}

// get returns the value of a key, the zero entry for none.
func (d *database) get(ctx context.Context, key string) (entry, error) {
	e, same, err := d.latest(ctx, key)
	if err == nil && !same {
		// Whoever reads after this must not read less.
		err = d.put(ctx, key, e)
	}
	return e, err
}

// set writes a value. After an error it may be there or not.
func (d *database) set(ctx context.Context, key, value string) error {
	e, _, err := d.latest(ctx, key)
	if err != nil {
		return err
	}
	return d.put(ctx, key, entry{Value: value, N: e.N + 1, By: d.name + "/" + rand.Text()})
}

// latest asks a majority for a key; same tells that all of it agree.
func (d *database) latest(ctx context.Context, key string) (e entry, same bool, err error) {
	all, err := d.majority(ctx, func(ctx context.Context, m member) (entry, error) { return m.read(ctx, key) })
	if err != nil {
		return entry{}, false, err
	}
	e, same = all[0], true
	for _, o := range all[1:] {
		same = same && o == e
		if o.after(e) {
			e = o
		}
	}
	return e, same, nil
}

func (d *database) put(ctx context.Context, key string, e entry) error {
	_, err := d.majority(ctx, func(ctx context.Context, m member) (entry, error) { return e, m.write(ctx, key, e) })
	return err
}

// majority asks all members at once and returns the answers of the first of them
// that are more than half. The others are not cut off.
func (d *database) majority(ctx context.Context, ask func(context.Context, member) (entry, error)) ([]entry, error) {
	type answer struct {
		entry
		err error
	}
	answers := make(chan answer, len(d.members))
	for _, m := range d.members {
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), memberTimeout)
			defer cancel()
			e, err := ask(ctx, m)
			answers <- answer{e, err}
		}()
	}
	var got []entry
	var faults error
	for range d.members {
		a := <-answers
		if a.err != nil {
			faults = errors.Join(faults, a.err)
			continue
		}
		if got = append(got, a.entry); len(got) > len(d.members)/2 {
			return got, nil
		}
	}
	return nil, fmt.Errorf("%w: %d of %d: %w", errNoMajority, len(got), len(d.members), faults)
}
