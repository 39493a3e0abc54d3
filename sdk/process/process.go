//go:build unix

package process

import (
	"fmt"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
)

// Handshake is what kernel and plugin agree on before they speak; it keeps a
// plugin from being run by hand by mistake. The ABI's version is checked
// later, with a better message.
var Handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "PINTLE_PLUGIN", MagicCookieValue: "a0d1c7f2"}

// Name of the one thing that a process serves.
const Name = "plugin"

// RegionFD is the descriptor of the shared region in the plugin's process.
const RegionFD = 3

// MaxMessage is the largest frame, in bytes.
const MaxMessage = 64<<20 + 4096

// The kinds of frames, their first byte.
const (
	FrameCall   = 'C'
	FrameAnswer = 'A'
	FrameRegion = 'R'
	FrameResult = 'R'
	FrameAsk    = 'Q'
)

// Frame is one message of the stream.
type Frame struct{ Bytes []byte }

// codec passes frames as they are.
type codec struct{}

// Codec is the gRPC content subtype of frames.
const Codec = "pintle-frame"

func init() { encoding.RegisterCodec(codec{}) }

func (codec) Name() string { return Codec }

func (codec) Marshal(v any) ([]byte, error) {
	f, ok := v.(*Frame)
	if !ok {
		return nil, fmt.Errorf("%T is not a frame", v)
	}
	return f.Bytes, nil
}

func (codec) Unmarshal(b []byte, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return fmt.Errorf("%T is not a frame", v)
	}
	f.Bytes = append(f.Bytes[:0], b...)
	return nil
}

// Stream describes the service's one method.
var Stream = grpc.StreamDesc{StreamName: "Serve", ClientStreams: true, ServerStreams: true}

// Method is the full name of the method.
const Method = "/pintle.Plugin/Serve"
