package gateway

import "net/http"

// Identify tells which box makes a request, for handlers beside this one: within
// what its source may ask, and only boxes that may connect now. When ok is false
// the request has been answered and counted.
func (g *Gateway) Identify(w http.ResponseWriter, r *http.Request) (c Caller, ok bool) {
	return g.identify(w, r)
}
