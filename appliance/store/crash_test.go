package store_test

const childRole = "SIGNALBOX_STORE_TEST_CHILD"

func runChild(string) int { return 2 }
