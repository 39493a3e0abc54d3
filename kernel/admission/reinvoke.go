package admission

// Reinvocation is how a rule that changed a request's object has the mutators
// before it look again, once: those that ask for it by a policy of their own, and
// all of the server's. It has the methods of upstream's ReinvocationContext, so that
// upstream's dispatchers can use it. It is used by one goroutine at a time.
type Reinvocation struct {
	again, second bool
	values        map[string]any
}

// Reinvocation of the request; it lasts as long as its mutating phase.
func (a *Attributes) Reinvocation() *Reinvocation {
	if a.reinvocation == nil {
		a.reinvocation = &Reinvocation{}
	}
	return a.reinvocation
}

// again reports that the mutators are to be asked a second time, and notes that
// they are.
func (a *Attributes) again() bool {
	r := a.reinvocation
	if r == nil || !r.again || r.second {
		return false
	}
	r.second = true
	return true
}

// IsReinvoke reports that the mutators are being asked for the second time.
func (r *Reinvocation) IsReinvoke() bool { return r.second }

// SetIsReinvoke begins the second time.
func (r *Reinvocation) SetIsReinvoke() { r.second = true }

// ShouldReinvoke reports that a rule wants the mutators to be asked again.
func (r *Reinvocation) ShouldReinvoke() bool { return r.again }

// SetShouldReinvoke is called by a rule that changed the object.
func (r *Reinvocation) SetShouldReinvoke() { r.again = true }

// SetValue keeps what the rules of a name have to remember between both times.
func (r *Reinvocation) SetValue(rule string, v any) {
	if r.values == nil {
		r.values = map[string]any{}
	}
	r.values[rule] = v
}

// Value is what SetValue kept; nil if nothing.
func (r *Reinvocation) Value(rule string) any { return r.values[rule] }
