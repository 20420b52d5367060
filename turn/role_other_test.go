//go:build !linux

package turn_test

func playRole() {} // test networks are made of Linux namespaces
