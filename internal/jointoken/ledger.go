package jointoken

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Where a token is kept: a Secret in kube-system, as upstream's.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
const (
	SecretPrefix = "bootstrap-token-"
	UserPrefix   = "system:bootstrap:"
)

// MaxUses bounds how many nodes one token may make.
const MaxUses = 100

// Annotations of the token's Secret.
const (
	usesAnnotation   = "pintle.dev/join-uses"
	joinedAnnotation = "pintle.dev/joined"
)

// Join is one use of a token.
type Join struct {
	Node    string
	Request string // UID of the certificate request
}

// Ledger says how many nodes a token may make, and which it made.
type Ledger struct {
	// Uses is how many; 0 sets no bound but the token's end, which is what
	// tokens have that other programs made.
	Uses   int
	Joined []Join
}

// ReadLedger reads a token's ledger from its Secret's annotations. One that
// cannot be read allows nothing more.
func ReadLedger(annotations map[string]string) Ledger {
	var l Ledger
	for s := range strings.SplitSeq(annotations[joinedAnnotation], ",") {
		if node, request, ok := strings.Cut(s, "="); ok {
			l.Joined = append(l.Joined, Join{node, request})
		}
	}
	if s, ok := annotations[usesAnnotation]; ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > MaxUses {
			n = max(len(l.Joined), 1)
			if len(l.Joined) == 0 {
				l.Joined = []Join{{Node: "?"}}
			}
		}
		l.Uses = n
	}
	return l
}

// Write puts the ledger into annotations.
func (l Ledger) Write(annotations map[string]string) {
	if l.Uses > 0 {
		annotations[usesAnnotation] = strconv.Itoa(l.Uses)
	}
	if len(l.Joined) == 0 {
		return
	}
	var s []string
	for _, j := range l.Joined {
		s = append(s, j.Node+"="+j.Request)
	}
	annotations[joinedAnnotation] = strings.Join(s, ",")
}

// UsedUp reports that the token makes no more nodes.
func (l Ledger) UsedUp() bool { return l.Uses > 0 && len(l.Joined) >= l.Uses }

// Has reports that a certificate request is one of the uses.
func (l Ledger) Has(request string) bool {
	return slices.ContainsFunc(l.Joined, func(j Join) bool { return j.Request == request })
}

// Nodes are the names of those that joined.
func (l Ledger) Nodes() []string {
	var out []string
	for _, j := range l.Joined {
		out = append(out, j.Node)
	}
	return out
}

// CheckUses explains a number of uses that cannot be.
func CheckUses(n int) error {
	if n < 1 || n > MaxUses {
		return fmt.Errorf("%d is not between 1 and %d", n, MaxUses)
	}
	return nil
}
