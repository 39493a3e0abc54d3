package plugin

import (
	"context"
	"errors"
	"strings"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Bounds of what a guest answers. Nothing of an answer reaches a consumer, the
// log, status or an event before it was held against them; who breaks one has
// faulted (wire.ErrProtocol).
const (
	maxError     = 16 << 10 // bytes of an error's text; what is longer is cut
	maxErrorLine = 1 << 10  // of its first line
	maxMessage   = 32 << 10 // of a denial
	maxWarning   = 4 << 10
	maxWarnings  = 64
	maxPatch     = 4000    // changes of one object
	maxPath      = 4 << 10 // bytes of a change's path
	maxSegments  = 128     // of a change's path
	maxValues    = 4 << 20 // bytes of all values of a patch; an object has 3 MiB at most
	maxAwait     = 64
	maxFaults    = 256     // fields that are refused
	maxNotes     = 64      // annotations for the audit log
	maxCharges   = 64      // objects that one verdict charges
	maxAmounts   = 1 << 10 // of one charge
	maxReason    = 1 << 10 // bytes of why a node is refused
	maxReasons   = 64      // of one node
	maxStatuses  = 1 << 10 // that are new in one answer
	maxOnly      = 64      // members that name nodes
	maxNodes     = 100_000 // that they name
	maxName      = 253     // of a plugin, a node, a resource's field
	maxMembers   = 64      // plugins in one
	maxItems     = 256     // watches, matches
	maxText      = 4 << 10 // other texts of a manifest
	maxRequests  = 100_000 // that one call queues
	maxObjects   = 100_000 // that one call converts
	maxObject    = 8 << 20 // bytes of one of them
	maxKey       = 64 << 10
	maxState     = 64 << 10 // bytes that a reservation keeps
	maxAssumed   = 256      // objects that it assumes, or waits for
)

// checker reads an answer and holds it against the bounds. It allocates
// nothing: consumers decode what has passed.
type checker struct {
	in  *wire.Reader
	err error
}

func (c *checker) failf(format string, args ...any) {
	if c.err == nil {
		c.err = wire.Errorf(wire.KindProtocol, format, args...)
	}
}

func (c *checker) text(what string, most int) []byte {
	b := c.in.Bytes()
	if len(b) > most {
		c.failf("%s has %d bytes, %d are allowed", what, len(b), most)
	}
	return b
}

func (c *checker) count(what string, size, most int) int {
	n := c.in.Count(size)
	if n > most {
		c.failf("%d %s, %d are allowed", n, what, most)
	}
	if c.err != nil {
		return 0
	}
	return n
}

func (c *checker) texts(what string, most, length int) {
	for range c.count(what, 1, most) {
		c.text("one of the "+what, length)
	}
}

// checkAnswer is an ErrProtocol when the answer to op is malformed or beyond
// the bounds.
func checkAnswer(op wire.Op, resp []byte) error {
	c := checker{in: wire.NewReader(resp)}
	switch op {
	case wire.OpMutate, wire.OpValidate:
		c.verdict()
	case schedule.OpNormalize:
		c.missing()
	case schedule.OpProfile:
		c.fields()
	case wire.OpReconcile:
		c.in.Int()
		c.requests()
	case wire.OpMap:
		c.requests()
	case wire.OpConvert:
		c.objects()
	case schedule.OpDescribe:
		c.members()
	case schedule.OpPreFilter:
		c.preFilter()
	case schedule.OpCycle:
		c.cycle()
	case schedule.OpReserve:
		c.reserve()
	case schedule.OpPreBind:
		c.preBind()
	default:
		return nil
	}
	if c.err != nil {
		return c.err
	}
	return c.in.Err()
}

func (c *checker) verdict() {
	c.in.Bool()
	c.text("the message", maxMessage)
	c.texts("warnings", maxWarnings, maxWarning)
	values := 0
	for range c.count("changes", 3, maxPatch) {
		c.in.Bool()
		path := c.text("the path of a change", maxPath)
		segments := 1
		for _, b := range path {
			if b == '.' || b == '[' {
				segments++
			}
		}
		if segments > maxSegments {
			c.failf("the path of a change has %d parts, %d are allowed", segments, maxSegments)
		}
		values += len(c.in.Bytes())
	}
	if values > maxValues {
		c.failf("the values of the changes have %d bytes, %d are allowed", values, maxValues)
	}
	c.in.Bool()
	for range c.count("objects to wait for", 4, maxAwait) {
		for range 4 {
			c.text("the name of an object to wait for", maxText)
		}
	}
	if len(c.in.Rest()) > 0 { // since 2.1
		c.findings()
	}
}

func (c *checker) findings() {
	for range c.count("refused fields", 3, maxFaults) {
		for range 3 {
			c.text("what is said of a refused field", maxWarning)
		}
	}
	c.texts("annotations", 2*maxNotes, maxWarning)
	if len(c.in.Rest()) > 0 { // since 2.2
		c.charges()
	}
}

func (c *checker) charges() {
	for range c.count("charges", 8, maxCharges) {
		for range 6 {
			c.text("the name of a charged object, or a path in it", maxText)
		}
		for range 2 {
			for range c.count("amounts of a charge", 2, maxAmounts) {
				c.text("the key of an amount", maxText)
				c.text("an amount", maxName)
			}
		}
	}
}

func (c *checker) requests() {
	for range c.count("requests", 3, maxRequests) {
		c.text("the namespace of a request", maxName)
		c.text("the name of a request", maxKey)
		c.text("the labels of a request", maxKey)
	}
}

func (c *checker) objects() {
	for range c.count("objects", 1, maxObjects) {
		c.text("an object", maxObject)
	}
}

// missing is what was looked at and not given.
func (c *checker) missing() {
	c.columns()
	c.fields()
}

// fields are a declaration, or none.
func (c *checker) fields() {
	if c.in.Bool() {
		c.text("a declaration of fields", maxText)
	}
}

// columns are those that a member reads, or that are missing.
func (c *checker) columns() {
	for range c.count("columns", 3, columns.MaxColumns) {
		c.in.Uint()
		c.text("the key of a column", maxText)
		c.text("the name of a column", maxText)
	}
}

func (c *checker) members() {
	for range c.count("members", 11, maxMembers) {
		wire.ReadSized(c.in, func(r *wire.Reader) {
			item := checker{in: r}
			if item.member(); c.err == nil {
				c.err = item.err
			}
		})
	}
}

func (c *checker) member() {
	if len(c.text("the name of a member", maxName)) == 0 {
		c.failf("a member without a name")
	}
	filters, scores := c.in.Bool(), c.in.Bool()
	if scope := schedule.Scope(c.in.Byte()); scope > schedule.Cluster {
		c.failf("a member of scope %d", scope)
	}
	if scaling := schedule.Scaling(c.in.Byte()); scaling > schedule.ScaleReversed {
		c.failf("a member whose scores are scaled by %d", scaling)
	}
	normalizes, column := c.in.Bool(), c.in.Uint()
	if !scores && (normalizes || column > 0) {
		c.failf("a member that does not score has a score column (it filters: %v)", filters)
	}
	c.in.Int()
	c.in.Uint()
	c.columns()
	if len(c.in.Rest()) > 0 { // since 2.4
		for range 3 {
			c.in.Bool()
		}
		c.texts("resources that a member reads", maxItems, maxText)
	}
}

func (c *checker) preFilter() {
	c.in.Uint()
	c.in.Uint()
	c.in.Bool()
	c.texts("reasons", maxReasons, maxReason)
	for range c.count("members that name nodes", 2, maxOnly) {
		c.in.Uint()
		c.texts("nodes", maxNodes, maxName)
	}
	for range c.count("counts of pods", 4, maxItems) {
		c.text("a topology key", maxText)
		c.texts("namespaces", maxNodes, maxName)
		c.text("a label selector", maxKey)
		c.in.Bool()
	}
	c.missing()
	if len(c.in.Rest()) > 0 { // since 2.4
		for range c.count("members that reserve", 1, maxMembers) {
			c.in.Uint()
		}
	}
}

func (c *checker) reserve() {
	c.in.Uint()
	c.texts("reasons", maxReasons, maxReason)
	for range c.count("reservations", 4, maxMembers) {
		wire.ReadSized(c.in, func(r *wire.Reader) {
			item := checker{in: r}
			if item.reservation(); c.err == nil {
				c.err = item.err
			}
		})
	}
	c.missing()
}

func (c *checker) reservation() {
	c.in.Uint()
	c.in.Bool()
	c.text("the state of a reservation", maxState)
	for range c.count("assumed objects", 4, maxAssumed) {
		c.object()
		c.text("a patch of an assumed object", maxKey)
	}
}

func (c *checker) object() {
	for range 3 {
		c.text("the name of an object", maxText)
	}
}

func (c *checker) preBind() {
	if o := schedule.PreBindOutcome(c.in.Byte()); o > schedule.PreBindRefused {
		c.failf("an outcome %d of PreBind", o)
	}
	c.texts("reasons", maxReasons, maxReason)
	c.in.Int()
	for range c.count("objects to wait for", 3, maxAssumed) {
		c.object()
	}
	c.text("the state of a reservation", maxState)
}

func (c *checker) cycle() {
	c.in.Uint()
	c.in.Uint()
	for range c.count("statuses", 3, maxStatuses) {
		c.in.Uint()
		c.in.Bool()
		c.texts("reasons", maxReasons, maxReason)
	}
	c.missing()
}

// checkManifest holds what a guest says of itself against the bounds.
func checkManifest(m *wire.Manifest) error {
	c := checker{in: wire.NewReader(nil)}
	if m.Name == "" || len(m.Name) > maxName || len(m.Version) > maxName {
		c.failf("a name of %d bytes and a version of %d, 1 to %d are allowed", len(m.Name), len(m.Version), maxName)
	}
	if len(m.Match) > maxItems || len(m.Watches) > maxItems {
		c.failf("%d matches and %d watches, %d are allowed", len(m.Match), len(m.Watches), maxItems)
	}
	list := func(what string, l []string) {
		if len(l) > maxItems {
			c.failf("%d %s, %d are allowed", len(l), what, maxItems)
		}
		for _, s := range l {
			if len(s) > maxText {
				c.failf("one of the %s has %d bytes, %d are allowed", what, len(s), maxText)
			}
		}
	}
	for _, x := range m.Match {
		list("operations", x.Operations)
		list("resources", x.Resources)
		list("namespaces", x.Namespaces)
		list("exceptions", x.ExceptNamespaces)
		list("paths", x.Present)
		list("given resources", x.Given)
		list("labels of namespaces", x.NamespaceLabels)
	}
	for _, w := range m.Watches {
		list("parts of a watch", []string{w.Resource, w.Arg, w.ToNamespace, w.ToName, w.Fields})
		list("paths", w.Present)
	}
	list("declarations of fields", []string{m.Fields})
	list("resources that it implements", m.Implements)
	return c.err
}

// clipError cuts the text of a guest's error.
func clipError(err error) error {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return err
	}
	line, rest, more := strings.Cut(e.Message, "\n")
	if len(line) <= maxErrorLine && len(e.Message) <= maxError {
		return err
	}
	text := clip(line, maxErrorLine)
	if more {
		text += "\n" + clip(rest, maxError-maxErrorLine)
	}
	return &wire.Error{Kind: e.Kind, Message: text}
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + " …"
}

// Blame notes a fault that a consumer finds in an answer: what only he can
// check, such as scores. The instance is of no use after it.
func Blame(ctx context.Context, in Instance, op wire.Op, err error) {
	if c, ok := in.(*counted); ok {
		c.plugin.Stats.faults.Add(1)
		c.plugin.fault(NamespaceOf(ctx), op, err)
	}
}
