package record

import (
	"encoding/binary"
	"fmt"
	"math"
)

// cursor reads a body, as a string so that strings can be parts of it.
type cursor struct {
	text string
	at   int
}

// uint reads a varint; nearly all of them are one byte.
func (c *cursor) uint() (uint64, error) {
	if c.at < len(c.text) && c.text[c.at] < 0x80 {
		c.at++
		return uint64(c.text[c.at-1]), nil
	}
	var v uint64
	for i := range binary.MaxVarintLen64 {
		if c.at+i >= len(c.text) {
			break
		}
		x := c.text[c.at+i]
		v |= uint64(x&0x7f) << (7 * i)
		if x < 0x80 {
			if i == binary.MaxVarintLen64-1 && x > 1 {
				break
			}
			c.at += i + 1
			return v, nil
		}
	}
	return 0, errShort
}

func (c *cursor) int() (int64, error) {
	u, err := c.uint()
	return int64(u>>1) ^ -int64(u&1), err
}

func (c *cursor) string() (string, error) {
	if c.at < len(c.text) {
		if n := int(c.text[c.at]); n < 0x80 && n < len(c.text)-c.at {
			s := c.text[c.at+1 : c.at+1+n]
			c.at += 1 + n
			return s, nil
		}
	}
	n, err := c.uint()
	if err != nil || n > uint64(len(c.text)-c.at) {
		return "", errShort
	}
	s := c.text[c.at : c.at+int(n)]
	c.at += int(n)
	return s, nil
}

func (c *cursor) float() (float64, error) {
	if len(c.text)-c.at < 8 {
		return 0, errShort
	}
	var v uint64
	for i := range 8 {
		v |= uint64(c.text[c.at+i]) << (8 * i)
	}
	c.at += 8
	return math.Float64frombits(v), nil
}

func (c *cursor) word() (int, error) {
	if len(c.text)-c.at < 4 {
		return 0, errShort
	}
	t := c.text[c.at:]
	c.at += 4
	return int(uint32(t[0]) | uint32(t[1])<<8 | uint32(t[2])<<16 | uint32(t[3])<<24), nil
}

// size reads the size of a list, map or struct and returns where it ends.
func (c *cursor) size() (end int, err error) {
	n, err := c.word()
	if err != nil || n > len(c.text)-c.at {
		return 0, errShort
	}
	return c.at + n, nil
}

// counted reads size and count of a list or map; each of its values takes a
// byte at least.
func (c *cursor) counted() (end, n int, err error) {
	if end, err = c.size(); err != nil {
		return 0, 0, err
	}
	if n, err = c.word(); err != nil || c.at > end || n > end-c.at {
		return 0, 0, errShort
	}
	return end, n, nil
}

// find looks for a key in the map whose size follows.
func (c *cursor) find(name string) (at int, ok bool) {
	_, n, err := c.counted()
	for ; err == nil && n > 0; n-- {
		var key string
		if key, err = c.string(); err != nil {
			break
		}
		if key == name {
			return c.at, true
		}
		err = c.skip()
	}
	return 0, false
}

// skip steps over a value.
func (c *cursor) skip() error {
	if c.at >= len(c.text) {
		return errShort
	}
	c.at++
	if c.at+4 <= len(c.text) { // what objects are mostly made of
		switch t := c.text[c.at-1 : c.at+4]; t[0] {
		case String:
			if n := int(t[1]); n < 0x80 && n < len(c.text)-c.at {
				c.at += 1 + n
				return nil
			}
		case Map, List, Struct:
			n := int(uint32(t[1]) | uint32(t[2])<<8 | uint32(t[3])<<16 | uint32(t[4])<<24)
			if n <= len(c.text)-c.at-4 {
				c.at += 4 + n
				return nil
			}
			return errShort
		}
	}
	switch tag := c.text[c.at-1]; tag {
	case None, False, True:
		return nil
	case Int:
		_, err := c.uint()
		return err
	case Float:
		_, err := c.float()
		return err
	case String:
		_, err := c.string()
		return err
	case List, Map, Struct:
		end, err := c.size()
		c.at = end
		return err
	default:
		return fmt.Errorf("a value of tag %d where none can be", tag)
	}
}
