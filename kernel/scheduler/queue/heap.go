package queue

import "container/heap"

// podHeap is a heap of pods that know their index.
type podHeap struct {
	pods []*Pod
	less func(a, b *Pod) bool
}

func (h *podHeap) Len() int           { return len(h.pods) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.pods[i], h.pods[j]) }
func (h *podHeap) Swap(i, j int) {
	h.pods[i], h.pods[j] = h.pods[j], h.pods[i]
	h.pods[i].index, h.pods[j].index = i, j
}

// Push is for container/heap.
func (h *podHeap) Push(x any) {
	p := x.(*Pod)
	p.index = len(h.pods)
	h.pods = append(h.pods, p)
}

// Pop is for container/heap.
func (h *podHeap) Pop() any {
	p := h.pods[len(h.pods)-1]
	h.pods[len(h.pods)-1] = nil
	h.pods = h.pods[:len(h.pods)-1]
	return p
}

var _ heap.Interface = (*podHeap)(nil)
