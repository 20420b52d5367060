package appliance

// What is open on the ports for HTTP. METRICS.md lists it.
var (
	descHTTPConns   = metric("http_conns", "Open connections on the ports for HTTP and HTTPS, signaling and TURN over TLS included.")
	descHTTPMax     = metric("http_max_conns", "The most of them at once: three quarters of the descriptors that the process may have.")
	descHTTPAsking  = metric("http_requests", "HTTP requests under way; a signaling socket is one.")
	descHTTPDropped = metric("http_dropped_total", "Connections without a request that were closed to make room, by reason.", "reason")
)

func (c collector) collectCrowd(gauge emit[float64], count emit[uint64]) {
	open, asking, dropped := c.crowd.count()
	gauge(descHTTPConns, float64(open))
	gauge(descHTTPMax, float64(c.crowd.most))
	gauge(descHTTPAsking, float64(asking))
	count(descHTTPDropped, dropped, "crowded")
}
