package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The files are what the code makes, and there are no others.
func TestBoardsAreGenerated(t *testing.T) {
	var names []string
	for _, b := range boards() {
		want, err := render(b)
		if err != nil {
			t.Fatal(err)
		}
		name := b.UID + ".json"
		names = append(names, name)
		if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what the code makes (%v); run go generate ./packaging/monitoring/boards", name, err)
		}
	}
	found, err := filepath.Glob("*.json")
	if slices.Sort(names); err != nil || !slices.Equal(found, names) {
		t.Errorf("files %v, want %v", found, names)
	}
}

// Panels neither overlap nor leave the board.
func TestPanelsHaveRoom(t *testing.T) {
	for _, b := range boards() {
		taken := map[[2]int]string{}
		for _, p := range b.Panels {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
						t.Fatalf("%s: %q is at %v, where there is %q", b.UID, p.Title, p.GridPos, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}
