package upstream

import "hash/fnv"

// hash32 is 0 for nothing alone.
func hash32(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write(b)
	return max(h.Sum32(), 1)
}
