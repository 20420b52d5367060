// Package dashboard is what people and programs see of a cloud node: the JSON
// API with its OpenAPI document, streams of what changes (server-sent events),
// the problems there are and who knows of them, webhooks, and metrics for
// Prometheus.
//
// One goroutine keeps the board: a row for every site, encoded once for all who
// look. What a row says is a pure function of facts, see problems.go; nothing
// here decides what is true.
package dashboard
