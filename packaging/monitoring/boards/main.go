// Command boards writes Grafana's boards of Signalbox into the current folder.
// They are code so that a metric is renamed in one place, and so that the panels
// of three boards look alike; the JSON is committed for those who only import it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

//go:generate go run .

func main() {
	for _, b := range boards() {
		text, err := render(b)
		if err == nil {
			err = os.WriteFile(b.UID+".json", text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "boards:", err)
			os.Exit(1)
		}
	}
}

// render is the text of a board's file.
func render(b board) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // comparisons in expressions stay readable
	encoder.SetIndent("", "  ")
	err := encoder.Encode(b)
	return out.Bytes(), err
}
