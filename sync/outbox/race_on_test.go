//go:build race

package outbox_test

// raceDetector makes simulations shorter: with it they take ten times as long.
const raceDetector = true
