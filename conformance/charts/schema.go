package charts

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// object is a piece of a manifest, as JSON has it.
type object = map[string]any

// writer writes schemas: equal seeds write the same ones.
type writer struct{ *rand.Rand }

func newWriter(seed uint64, chart string) writer {
	var salt uint64
	for _, c := range chart {
		salt = salt*31 + uint64(c)
	}
	return writer{rand.New(rand.NewPCG(seed, salt))}
}

var nouns = strings.Fields(`anchor beacon buoy cable cargo chart compass course crew deck dock engine flag gauge harbour helm hold hull keel
	ladder lantern lock log mast mooring net oar pilot pier port pump quay rope rudder sail signal sounding tide tow wake watch winch`)

// prose is a description of n words. Real definitions are mostly that.
func (w writer) prose(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = nouns[w.IntN(len(nouns))]
	}
	return "Says how the " + strings.Join(words, " ") + " is kept."
}

func with(schema object, more object) object {
	for k, v := range more {
		schema[k] = v
	}
	return schema
}

func (w writer) text() object { return object{"type": "string", "description": w.prose(8)} }
func (w writer) number() object {
	return object{"type": "integer", "format": "int32", "description": w.prose(6)}
}
func (w writer) boolean() object { return object{"type": "boolean", "description": w.prose(6)} }

func (w writer) choice(values ...any) object {
	return object{"type": "string", "enum": values, "description": w.prose(6)}
}

func (w writer) list(items object) object {
	return object{"type": "array", "items": items, "description": w.prose(6)}
}

// set is a list whose entries differ.
func (w writer) set(items object) object {
	return with(w.list(items), object{"x-kubernetes-list-type": "set", "maxItems": 128})
}

// keyed is a list that is merged by a key of its entries.
func (w writer) keyed(key string, items object) object {
	return with(w.list(items), object{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{key}})
}

func (w writer) labels() object {
	return object{"type": "object", "additionalProperties": object{"type": "string"}, "description": w.prose(6)}
}

// portOrName is a number or a word.
func (w writer) portOrName() object {
	return object{"anyOf": []any{object{"type": "integer"}, object{"type": "string"}}, "x-kubernetes-int-or-string": true, "description": w.prose(6)}
}

// quantity is a number or a word that is one.
func (w writer) quantity() object {
	return with(w.portOrName(), object{"pattern": `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?$`})
}

// open takes whatever fields there are.
func (w writer) open() object {
	return object{"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": w.prose(6)}
}

// embedded is an object of any kind.
func (w writer) embedded() object {
	return with(w.open(), object{"x-kubernetes-embedded-resource": true})
}

func (w writer) record(properties object, required ...any) object {
	s := object{"type": "object", "properties": properties, "description": w.prose(10)}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (w writer) selector() object {
	return with(w.record(object{
		"matchLabels": w.labels(),
		"matchExpressions": w.list(w.record(object{"key": w.text(), "operator": w.choice("In", "NotIn", "Exists", "DoesNotExist"), "values": w.list(w.text())},
			"key", "operator")),
	}), object{"x-kubernetes-map-type": "atomic"})
}

// conditions are those of metav1.Condition.
func (w writer) conditions() object {
	return w.keyed("type", w.record(object{
		"type": with(w.text(), object{"maxLength": 316}), "status": w.choice("True", "False", "Unknown"), "reason": with(w.text(), object{"minLength": 1}),
		"message": w.text(), "observedGeneration": object{"type": "integer", "format": "int64", "minimum": 0},
		"lastTransitionTime": object{"type": "string", "format": "date-time"},
	}, "type", "status"))
}

// tree is a record of records, as deep as asked, of all that schemas can say.
func (w writer) tree(depth, width int) object {
	properties := object{}
	for i := range width {
		name := fmt.Sprintf("%s%s%d", nouns[w.IntN(len(nouns))], strings.Title(nouns[w.IntN(len(nouns))]), i) //nolint:staticcheck // words of ASCII
		properties[name] = w.leaf()
		if depth > 0 && i%3 == 0 {
			properties[name] = w.tree(depth-1, width)
		}
	}
	return w.record(properties)
}

func (w writer) leaf() object {
	switch w.IntN(9) {
	case 0:
		return with(w.number(), object{"minimum": 0, "maximum": 65535})
	case 1:
		return w.boolean()
	case 2:
		return w.choice("Always", "Never", "IfNeeded")
	case 3:
		return w.labels()
	case 4:
		return w.portOrName()
	case 5:
		return w.selector()
	case 6:
		return w.keyed("name", w.record(object{"name": w.text(), "value": w.text()}, "name"))
	case 7:
		return with(w.text(), object{"pattern": `^([0-9]+(ms|s|m|h))+$`, "default": "30s"})
	}
	return with(w.text(), object{"maxLength": 253})
}

// fill gives a record further properties until it has so many bytes as JSON.
func (w writer) fill(record object, bytes int) object {
	properties := record["properties"].(object)
	size := sizeOf(record)
	for i := 0; size < bytes; i++ {
		name, t := fmt.Sprintf("option%d", i), w.tree(2, 6)
		properties[name] = t
		size += sizeOf(t) + len(name) + 4
	}
	return record
}

func sizeOf(o object) int {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // maps, lists and words that are written here
	}
	return len(b)
}
