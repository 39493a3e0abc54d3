package compare

import (
	"net/http"
	"testing"

	"github.com/pintle-io/pintle/conformance/differential/exchange"
	"github.com/pintle-io/pintle/conformance/differential/servers"
)

func pair() exchange.Pair {
	return exchange.NewPair(&servers.Server{URL: "https://127.0.0.1:1"}, &servers.Server{URL: "https://127.0.0.1:2"})
}

func answer(code int, body string, header ...string) *exchange.Answer {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &exchange.Answer{Code: code, Header: h, Body: []byte(body)}
}

const (
	uidA = "11111111-1111-1111-1111-111111111111"
	uidB = "22222222-2222-2222-2222-222222222222"
)

func TestAnswers(t *testing.T) {
	cases := []struct {
		name string
		a, b *exchange.Answer
		want []string // of the differences, where
	}{
		{"equal", answer(200, `{"a":1}`), answer(200, `{ "a": 1 }`), nil},
		{"a code", answer(404, `{"kind":"Status","message":"m"}`), answer(200, `{}`), []string{"code"}},
		{"uids", answer(200, `{"uid":"`+uidA+`"}`), answer(200, `{"uid":"`+uidB+`"}`), nil},
		{"two equal uids and two different", answer(200, `{"a":"`+uidA+`","b":"`+uidA+`"}`), answer(200, `{"a":"`+uidA+`","b":"`+uidB+`"}`), []string{"/b"}},
		{"revisions", answer(200, `{"metadata":{"resourceVersion":"7"}}`), answer(200, `{"metadata":{"resourceVersion":"70"}}`), nil},
		{"no revision", answer(200, `{"metadata":{"resourceVersion":"7"}}`), answer(200, `{"metadata":{"resourceVersion":""}}`), []string{"/metadata/resourceVersion"}},
		{"an old time is the client's", answer(200, `{"t":"2020-01-02T03:04:05Z"}`), answer(200, `{"t":"2020-01-02T03:04:06Z"}`), []string{"/t"}},
		{"null and nothing", answer(200, `{"a":null}`), answer(200, `{}`), []string{"/a"}},
		{"null and an empty list", answer(200, `{"a":null}`), answer(200, `{"a":[]}`), []string{"/a"}},
		{"a list of another length", answer(200, `{"a":[1]}`), answer(200, `{"a":[1,2]}`), []string{"/a"}},
		{"an element", answer(200, `{"a":[{"b":1}]}`), answer(200, `{"a":[{"b":"1"}]}`), []string{"/a/*/b"}},
		{"causes in another order", answer(422, `{"causes":[{"f":1},{"f":2}]}`), answer(422, `{"causes":[{"f":2},{"f":1}]}`), nil},
		{"errors of a message in another order", answer(422, `{"message":"[a: x, b: y]"}`), answer(422, `{"message":"[b: y, a: x]"}`), nil},
		{"another message", answer(422, `{"message":"[a: x, b: y]"}`), answer(422, `{"message":"[b: y, a: z]"}`), []string{"/message"}},
		{"names of the servers", answer(200, `{"a":"127.0.0.1:1"}`), answer(200, `{"a":"127.0.0.1:2"}`), nil},
		{"a warning", answer(200, `{}`, "Warning", `299 - "x"`), answer(200, `{}`), []string{"header Warning"}},
		{"a header that nobody reads", answer(200, `{}`, "Audit-Id", "x"), answer(200, `{}`), nil},
		{"ages in cells", answer(200, `{"rows":[{"cells":["x","3s"]}]}`), answer(200, `{"rows":[{"cells":["x","4s"]}]}`), nil},
		{"cells", answer(200, `{"rows":[{"cells":["x","3s"]}]}`), answer(200, `{"rows":[{"cells":["y","4s"]}]}`), []string{"/rows/*/cells/*"}},
		{"generated names", answer(201, `{"metadata":{"generateName":"a-","name":"a-x1"}}`), answer(201, `{"metadata":{"generateName":"a-","name":"a-y2"}}`), nil},
		{"revisions of lists", answer(200, `{"items":[],"metadata":{"resourceVersion":"7"}}`), answer(200, `{"items":[],"metadata":{"resourceVersion":"8"}}`), nil},
		{"revisions in texts", answer(409, `{"message":"ResourceVersion in record (7). {\\\"resourceVersion\\\":\\\"5\\\"}"}`), answer(409, `{"message":"ResourceVersion in record (9). {\\\"resourceVersion\\\":\\\"6\\\"}"}`), nil},
		{"no answer", &exchange.Answer{Err: "EOF"}, answer(200, `{}`), []string{"answer"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := New(pair()).Answers(&exchange.Request{}, [2]*exchange.Answer{c.a, c.b})
			if len(got) != len(c.want) {
				t.Fatalf("differences %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i].Where != c.want[i] {
					t.Errorf("difference %d is at %s, want %s", i, got[i].Where, c.want[i])
				}
			}
		})
	}
}

// A revision that did not change is told from one that did, over requests.
func TestRevisionsOfASequence(t *testing.T) {
	c := New(pair())
	of := func(a, b string) int {
		body := func(rv string) string { return `{"metadata":{"resourceVersion":"` + rv + `"}}` }
		return len(c.Answers(&exchange.Request{}, [2]*exchange.Answer{answer(200, body(a)), answer(200, body(b))}))
	}
	if n := of("5", "50"); n != 0 {
		t.Errorf("first: %d differences", n)
	}
	if n := of("5", "50"); n != 0 {
		t.Errorf("unchanged at both: %d differences", n)
	}
	if n := of("5", "51"); n != 1 {
		t.Errorf("changed at one: %d differences, want one", n)
	}
}

// A name that was generated and refused stands in the error.
func TestGeneratedNamesInErrors(t *testing.T) {
	r := &exchange.Request{Body: []byte(`{"metadata":{"generateName":"A-"}}`)}
	body := func(name string) *exchange.Answer { return answer(422, `{"message":"\"`+name+`\" is invalid"}`) }
	if ds := New(pair()).Answers(r, [2]*exchange.Answer{body("A-bcdfg"), body("A-xz245")}); len(ds) > 0 {
		t.Errorf("differences %v", ds)
	}
	if ds := New(pair()).Answers(r, [2]*exchange.Answer{body("A-bcdfg"), body("B-bcdfg")}); len(ds) != 1 {
		t.Errorf("differences %v, want one", ds)
	}
}

func TestDecodeForms(t *testing.T) {
	for _, c := range []struct{ media, body, want string }{
		{"application/yaml", "a: [1, x]\n", `{"a":[1,"x"]}`},
		{"application/cbor", "\xd9\xd9\xf7\xa1\x41a\x18\x18", `{"a":24}`},
		{"application/json;stream=watch", `{"a":1}` + "\n" + `{"a":2}`, `[{"a":1},{"a":2}]`},
		{"application/vnd.kubernetes.protobuf", "k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x00", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}`},
		{"text/plain", "ok", `"ok"`},
	} {
		if got := text(decode(c.media, []byte(c.body))); got != c.want {
			t.Errorf("%s: %s, want %s", c.media, got, c.want)
		}
	}
}
