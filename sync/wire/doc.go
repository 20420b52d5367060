// Package wire is what a box and the cloud say to each other: frames and how
// they are merged, compressed and signed; the subjects they travel on; the
// documents of enrolment and of standing. Both ends meet only here.
package wire

//go:generate sh -c "go build -o ../../bin/tools/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go && protoc --plugin=../../bin/tools/protoc-gen-go --go_out=. --go_opt=paths=source_relative frame.proto"
