package signaling

// required lists the fields each frame must carry.
var required = [kindCount]fields{
	kindPing:            0,
	kindPong:            0,
	kindRefresh:         hasToken,
	kindJoin:            hasRoom,
	kindLeave:           hasRoom,
	kindPresence:        hasRoom,
	kindSet:             hasRoom | hasKey | hasData,
	kindOffer:           hasRoom | hasTo | hasData,
	kindAnswer:          hasRoom | hasTo | hasData,
	kindCandidate:       hasRoom | hasTo | hasData,
	kindEndOfCandidates: hasRoom | hasTo,
	kindBye:             hasRoom | hasTo,
	kindMessage:         hasRoom | hasData,
}

// fieldNames are for the error that tells which one is missing.
var fieldNames = []struct {
	bit        fields
	name, want string
}{
	{hasRoom, "room", "the name of a room"},
	{hasTo, "to", "a member of the room"},
	{hasKey, "key", "a string"},
	{hasToken, "token", "a device token"},
	{hasData, "data", "a JSON value"},
}

const (
	maxMeta = 4 << 10
	maxWill = 4 << 10
)

// check reports the first field that is missing, wrongly typed or too long.
func (f *inbound) check() error {
	if f.fault != nil {
		return refuse(codeBadFrame, "%v", f.fault)
	}
	if missing := required[f.kind] &^ f.has; missing != 0 {
		for _, field := range fieldNames {
			if missing&field.bit != 0 {
				return refuse(codeBadFrame, "%s: field %q is missing, want %s", f.kind, field.name, field.want)
			}
		}
	}
	for _, bound := range []struct {
		name  string
		value []byte
		max   int
	}{{"name", f.name, maxName}, {"key", f.key, maxName}, {"meta", f.meta, maxMeta}, {"will", f.will, maxWill}} {
		if len(bound.value) > bound.max {
			return refuse(codeBadFrame, "%s: field %q has %d bytes, want at most %d", f.kind, bound.name, len(bound.value), bound.max)
		}
	}
	if f.has&hasKey != 0 && len(f.key) == 0 {
		return refuse(codeBadFrame, "%s: field %q is empty", f.kind, "key")
	}
	return nil
}
