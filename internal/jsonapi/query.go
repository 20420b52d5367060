package jsonapi

import (
	"net/http"
	"net/url"
	"slices"
)

// ParseQuery reads the parameters after the question mark, and refuses others: a
// mistyped filter must not return everything. The error is a *Fault.
func ParseQuery(r *http.Request, known []Query) (map[string]string, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Wrong("", "the query is not well-formed: %v", err)
	}
	query := make(map[string]string, len(given))
	for name, values := range given {
		if !slices.ContainsFunc(known, func(q Query) bool { return q.Name == name }) {
			return nil, Wrong(name, "there is no parameter %.64q here", name)
		}
		query[name] = values[0]
	}
	return query, nil
}
