package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// WriteList writes a list as a media type (JSON or Protobuf) from items that
// Encode encoded in the same media type, without encoding them again. list
// and item name the kinds. As upstream does, items of the kind item go without
// apiVersion and kind. w should be buffered: every item is one Write.
func WriteList(w io.Writer, mediaType string, list, item schema.GroupVersionKind, meta metav1.ListMeta, items [][]byte) error {
	switch mediaType {
	case JSON:
		return writeListJSON(w, list, item, meta, items)
	case Protobuf:
		return writeListProtobuf(w, list, meta, items)
	}
	return fmt.Errorf("lists are not written as %q", mediaType)
}

func writeListJSON(w io.Writer, list, item schema.GroupVersionKind, meta metav1.ListMeta, items [][]byte) error {
	head, err := json.Marshal(struct {
		metav1.TypeMeta
		Meta metav1.ListMeta `json:"metadata"`
	}{metav1.TypeMeta{Kind: list.Kind, APIVersion: list.GroupVersion().String()}, meta})
	if err != nil {
		return err
	}
	if _, err := w.Write(append(head[:len(head)-1], `,"items":[`...)); err != nil {
		return err
	}
	// Items of one kind begin alike; what they begin with is cut.
	typeMeta := fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,`, item.Kind, item.GroupVersion().String())
	first, next := []byte("{"), []byte(",{")
	open := first
	for _, it := range items {
		body, ok := bytes.CutPrefix(it, typeMeta)
		if !ok {
			if body, ok = bytes.CutPrefix(it, first); !ok {
				return fmt.Errorf("list item is no JSON object: %.30q", it)
			}
		}
		if _, err := w.Write(open); err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
		open = next
	}
	_, err = w.Write([]byte("]}"))
	return err
}

// The fields of every list message of the Kubernetes API.
const (
	listMetadata protowire.Number = 1
	listItems    protowire.Number = 2
)

func writeListProtobuf(w io.Writer, list schema.GroupVersionKind, meta metav1.ListMeta, items [][]byte) error {
	raws := make([][]byte, len(items))
	metaSize := meta.Size()
	size := protowire.SizeTag(listMetadata) + protowire.SizeBytes(metaSize)
	for i, it := range items {
		_, raw, err := openEnvelope(it)
		if err != nil {
			return fmt.Errorf("list item: %w", err)
		}
		raws[i] = raw
		size += protowire.SizeTag(listItems) + protowire.SizeBytes(len(raw))
	}
	b := appendEnvelopeHead(nil, list, size)
	b = protowire.AppendTag(b, listMetadata, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(metaSize))
	m, err := meta.Marshal()
	if err != nil {
		return err
	}
	if _, err := w.Write(append(b, m...)); err != nil {
		return err
	}
	var head []byte
	for _, raw := range raws {
		head = protowire.AppendTag(head[:0], listItems, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(len(raw)))
		if _, err := w.Write(head); err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	_, err = w.Write(envelopeTail)
	return err
}
